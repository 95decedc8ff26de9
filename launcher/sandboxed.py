"""The channels of the demo: which settings lead each to its local provider."""

from launcher.environment import secret_file
from launcher.home import Home
from launcher.ports import Ports

SANDBOXED = ("email", "sms", "facebook", "x", "mastodon", "bluesky", "telegram", "webhook")
"""Channels that have a local provider."""
ACCOUNT = "valmerande"
"""The one account of each network."""
GATEWAY_SECRETS = ("sandbox-token", "sandbox-webhook")
VENDOR_SECRETS = ("sandbox-ovh-receipts", "sandbox-twilio-token")
_LISTENER = "whsec_c2FuZGJveCBsaXN0ZW5lciBzZWNyZXQh"  # what the sandbox's listener checks: no secret at all


def sandbox_channels(home: Home, ports: Ports) -> dict[str, str]:
    """Variables that make channels of the sandbox's providers. Whoever holds a token is the account it names."""
    web = f"http://127.0.0.1:{ports.sandbox_http}"
    token, webhook = (str(secret_file(home, name)) for name in GATEWAY_SECRETS)

    def secret(name: str, text: str) -> str:
        return str(secret_file(home, f"sandbox-{name}", text))

    named = secret("account", f"token-{ACCOUNT}")
    found = {
        "EMAIL__RELAYS__MAIN__HOST": "127.0.0.1",
        "EMAIL__RELAYS__MAIN__PORT": str(ports.sandbox_smtp),
        "EMAIL__RELAYS__MAIN__TLS": "none",
        "SMS__GATEWAYS__MAIN__URL": web,
        "SMS__GATEWAYS__MAIN__TOKEN_FILE": token,
        "SMS__GATEWAYS__MAIN__WEBHOOK_SECRET_FILE": webhook,
        **_other_gateways(home, ports),
        "FACEBOOK__URL": f"{web}/facebook",
        "FACEBOOK__WEB": f"{web}/wall/facebook",
        _of("FACEBOOK", "PAGE_ID"): "1",
        _of("FACEBOOK", "TOKEN_FILE"): named,
        "X__URL": f"{web}/x",
        "X__SITE": f"{web}/x",
        _of("X", "TOKEN_FILE"): named,
        _of("MASTODON", "URL"): web,
        _of("MASTODON", "TOKEN_FILE"): secret("mastodon", ACCOUNT),
        _of("BLUESKY", "URL"): f"{web}/bluesky",
        _of("BLUESKY", "PAGES"): f"{web}/bluesky",
        _of("BLUESKY", "HANDLE"): f"{ACCOUNT}.example",
        _of("BLUESKY", "APP_PASSWORD_FILE"): secret("bluesky", "abcd-efgh-ijkl-mnop"),
        "TELEGRAM__URL": f"{web}/telegram",
        "TELEGRAM__WEB": f"{web}/wall/telegram",
        _of("TELEGRAM", "CHAT"): f"@{ACCOUNT}",
        _of("TELEGRAM", "TOKEN_FILE"): secret("telegram", f"123456:{ACCOUNT}"),
        _of("WEBHOOK", "URL"): f"{web}/listener/{ACCOUNT}",
        _of("WEBHOOK", "SECRET_FILE"): secret("listener", _LISTENER),
        _of("WEBHOOK", "ALLOW_PLAIN"): "true",
        _of("WEBHOOK", "NETWORKS"): '["127.0.0.0/8"]',
    }
    return {
        "TAMBOUR_PORTAL__SANDBOX_URL": web,
        **{f"TAMBOUR_CHANNELS__{name}": value for name, value in found.items()},
    }


def _other_gateways(home: Home, ports: Ports) -> dict[str, str]:
    """Half of the demo's SMS go by gateways of two vendors, as the sandbox plays them, with the keys it knows."""
    web, door = f"http://127.0.0.1:{ports.sandbox_http}", f"http://127.0.0.1:{ports.portal}/webhooks/sms"
    receipts, token = (secret_file(home, name) for name in VENDOR_SECRETS)
    ovh = {
        "KIND": "ovh",
        "URL": f"{web}/ovh/1.0",
        "SERVICE_NAME": "sms-vm96001-1",
        "APPLICATION_KEY": "sandbox-application",
        "APPLICATION_SECRET_FILE": str(secret_file(home, "sandbox-ovh-secret", "sandbox-secret")),
        "CONSUMER_KEY_FILE": str(secret_file(home, "sandbox-ovh-consumer", "sandbox-consumer")),
        "RECEIPT_TOKEN_FILE": str(receipts),
    }
    twilio = {
        "KIND": "twilio",
        "URL": f"{web}/twilio",
        "ACCOUNT_SID": f"AC{1:032x}",
        "API_KEY": f"SK{1:032x}",
        "API_SECRET_FILE": str(secret_file(home, "sandbox-twilio-secret", "sandbox-secret")),
        "AUTH_TOKEN_FILE": str(token),
        "STATUS_CALLBACK": f"{door}/twilio",
    }
    named = {"MAIN": {"WEIGHT": "2"}, "OVH": ovh, "TWILIO": twilio}
    return {f"SMS__GATEWAYS__{name}__{field}": value for name, of in named.items() for field, value in of.items()}


def sms_callbacks(home: Home, ports: Ports) -> tuple[str, ...]:
    """Options of the sandbox: where those vendors tell what became of a message, and what proves that it is they."""
    receipts, token = (secret_file(home, name) for name in VENDOR_SECRETS)
    door = f"http://127.0.0.1:{ports.portal}/webhooks/sms/ovh/{receipts.read_text(encoding='utf-8')}"
    return ("--ovh-callback", door, "--twilio-auth-token-file", str(token))


def _of(channel: str, field: str) -> str:
    return f"{channel}__ACCOUNTS__{ACCOUNT.upper()}__{field}"
