def test_the_documentation():
    """Every table in docs/mail.md is read without a fault, and its defaults are ours."""
    page = (Path(__file__).parents[2] / "docs" / "mail.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    parse(tomllib.loads("\n".join(blocks)), Path("guard.toml"))
    keys = {key for row in re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE) for key in names(row)}
    assert {field.name for field in fields(QueueSettings)} <= keys
    ours = Policy()
    for key, text in re.findall(r"^\| `(\w+)` \| (\d+\w?) \|", page, re.MULTILINE):
        value = getattr(ours, key, None) or getattr(ours.schedule, KUMO.get(key, key))
        assert parse_duration(text) == value, key


KUMO = {"retry_interval": "interval", "max_retry_interval": "longest"}


def names(row: str) -> list[str]:
    """The keys that a row of a table begins with."""
    return re.findall(r"`(\w+)`", row)
