"""`python -m deploy` writes deploy/grafana/*.json and deploy/prometheus/alerts.yml."""

from pathlib import Path

from . import made

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    for name, text in made.files().items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_text(text, encoding="utf-8")
