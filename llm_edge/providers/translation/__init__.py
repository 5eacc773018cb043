"""
Between dialects, by way of the OpenAI chat form: two halves for each dialect, and never a pair of dialects.

    caller's dialect  --to_chat-->  chat form  --from_chat-->  provider's dialect
    caller's dialect <--from_chat-- chat form <--to_chat--     provider's dialect

Pure functions over JSON. Does no I/O, and loses nothing in silence: what has no place on the
other side is carried in an extension, reported, or refused.
"""
