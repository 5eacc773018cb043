"""`llm-edge doctor`: asks each provider one tiny question and says plainly what is wrong. It mends nothing."""
