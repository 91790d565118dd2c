"""Secrets for the tests, put together at run time: the repository holds no text that looks like a live key."""

from __future__ import annotations

import base64
import json
import random
import string

_random = random.Random(20260101)


def alnum(length: int) -> str:
    body = "".join(_random.choices(string.ascii_letters + string.digits, k=length - 3))
    return "x" + body + "Q7"


def lower(length: int) -> str:
    return "".join(_random.choices(string.ascii_lowercase + string.digits, k=length - 2)) + "q7"


def upper(length: int) -> str:
    return "".join(_random.choices(string.ascii_uppercase + string.digits, k=length - 2)) + "Q7"


def hexed(length: int) -> str:
    return "".join(_random.choices("0123456789abcdef", k=length - 2)) + "a7"


def digits(length: int) -> str:
    return "7" + "".join(_random.choices(string.digits, k=length - 1))


def base64ish(length: int) -> str:
    return "".join(_random.choices(string.ascii_letters + string.digits + "+/", k=length - 3)) + "aQ7"


def uuid_like() -> str:
    return "-".join(hexed(n) for n in (8, 4, 4, 4, 12))


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwt() -> str:
    return ".".join((_segment({"alg": "HS256", "typ": "JWT"}), _segment({"sub": "1234567890"}), alnum(43)))


def _block(name: str, lines: int = 12) -> str:
    dashes = "-" * 5
    body = "\n".join(base64ish(64) for _ in range(lines))
    return f"{dashes}BEGIN {name}{dashes}\n{body}\n{dashes}END {name}{dashes}"


#: name of the shape, the kind it is masked as, the secret.
SECRETS: list[tuple[str, str, str]] = [
    ("AWS access key id", "aws-access-key-id", "AK" + "IA" + upper(16)),
    ("AWS temporary key id", "aws-access-key-id", "AS" + "IA" + upper(16)),
    ("AWS Bedrock key", "aws-bedrock-key", "AB" + "SK" + base64ish(120)),
    ("Google API key", "google-api-key", "AI" + "za" + alnum(35)),
    ("Google OAuth secret", "google-oauth-secret", "GOC" + "SPX-" + alnum(28)),
    ("Google OAuth token", "google-oauth-token", "ya" + "29." + alnum(120)),
    ("GitHub personal token", "github-token", "gh" + "p_" + alnum(36)),
    ("GitHub OAuth token", "github-token", "gh" + "o_" + alnum(36)),
    ("GitHub server token", "github-token", "gh" + "s_" + alnum(36)),
    ("GitHub fine-grained token", "github-token", "github" + "_pat_" + alnum(22) + "_" + alnum(59)),
    ("GitLab personal token", "gitlab-token", "gl" + "pat-" + alnum(20)),
    ("GitLab runner token", "gitlab-token", "gl" + "rt-" + alnum(20)),
    ("Slack bot token", "slack-token", "xo" + "xb-" + digits(12) + "-" + digits(12) + "-" + alnum(24)),
    ("Slack user token", "slack-token", "xo" + "xp-" + digits(12) + "-" + digits(12) + "-" + hexed(32)),
    ("Slack app token", "slack-token", "xa" + "pp-1-" + upper(10) + "-" + digits(12) + "-" + hexed(64)),
    ("Stripe live key", "stripe-key", "sk" + "_live_" + alnum(24)),
    ("Stripe restricted key", "stripe-key", "rk" + "_live_" + alnum(24)),
    ("Stripe webhook secret", "stripe-webhook-secret", "wh" + "sec_" + alnum(32)),
    ("OpenAI key", "openai-key", "sk" + "-" + alnum(48)),
    ("OpenAI project key", "openai-key", "sk" + "-proj-" + alnum(60) + "_" + alnum(40)),
    ("Anthropic key", "anthropic-key", "sk" + "-ant-api03-" + alnum(90)),
    ("OpenRouter key", "openrouter-key", "sk" + "-or-v1-" + hexed(64)),
    ("our own key", "acontext-key", "sk" + "-ac-" + alnum(40)),
    ("Hugging Face token", "huggingface-token", "hf" + "_" + alnum(34)),
    ("npm token", "npm-token", "np" + "m_" + alnum(36)),
    ("PyPI token", "pypi-token", "py" + "pi-AgE" + alnum(150)),
    ("RubyGems key", "rubygems-key", "ruby" + "gems_" + hexed(48)),
    ("Docker token", "docker-token", "dckr" + "_pat_" + alnum(27)),
    ("SendGrid key", "sendgrid-key", "S" + "G." + alnum(22) + "." + alnum(43)),
    ("Brevo key", "brevo-key", "xkey" + "sib-" + hexed(64) + "-" + alnum(16)),
    ("Mailgun key", "mailgun-key", "ke" + "y-" + hexed(32)),
    ("Mailchimp key", "mailchimp-key", hexed(32) + "-us" + "14"),
    ("Twilio API key", "twilio-key", "S" + "K" + hexed(32)),
    ("Twilio account", "twilio-account-sid", "A" + "C" + hexed(32)),
    ("Telegram bot token", "telegram-token", digits(9) + ":AA" + alnum(33)),
    ("Discord bot token", "discord-token", "M" + alnum(23) + "." + alnum(6) + "." + alnum(30)),
    ("Shopify token", "shopify-token", "sh" + "pat_" + hexed(32)),
    ("Square token", "square-token", "sq0" + "atp-" + alnum(22)),
    ("Square access token", "square-token", "EA" + "AA" + alnum(60)),
    ("PayPal token", "paypal-token", "access" + "_token$production$" + lower(16) + "$" + hexed(32)),
    ("Databricks token", "databricks-token", "da" + "pi" + hexed(32)),
    ("DigitalOcean token", "digitalocean-token", "dop" + "_v1_" + hexed(64)),
    ("Heroku key", "heroku-key", "HR" + "KU-" + alnum(60)),
    ("Linear key", "linear-key", "lin" + "_api_" + alnum(40)),
    ("Notion token", "notion-token", "nt" + "n_" + alnum(46)),
    ("Notion integration secret", "notion-token", "sec" + "ret_" + alnum(43)),
    ("Figma token", "figma-token", "fi" + "gd_" + alnum(40)),
    ("Atlassian token", "atlassian-token", "AT" + "ATT3xFfGF0" + alnum(170)),
    ("Bitbucket token", "bitbucket-token", "AT" + "BB" + alnum(32)),
    ("New Relic key", "newrelic-key", "NR" + "AK-" + upper(27)),
    ("Grafana cloud token", "grafana-token", "gl" + "c_" + alnum(80)),
    ("Grafana service token", "grafana-token", "gl" + "sa_" + alnum(32) + "_" + hexed(8)),
    ("Vault token", "vault-token", "hv" + "s." + alnum(90)),
    ("Terraform token", "terraform-token", alnum(14) + ".atlas" + "v1." + alnum(65)),
    ("Pulumi token", "pulumi-token", "pu" + "l-" + hexed(40)),
    ("PlanetScale password", "planetscale-token", "pscale" + "_pw_" + alnum(43)),
    ("Doppler token", "doppler-token", "dp" + ".pt." + alnum(43)),
    ("Postman key", "postman-key", "PM" + "AK-" + hexed(24) + "-" + hexed(34)),
    ("Sentry token", "sentry-token", "sn" + "trys_" + alnum(120)),
    ("Replicate token", "replicate-token", "r" + "8_" + alnum(37)),
    ("Groq key", "groq-key", "gs" + "k_" + alnum(52)),
    ("xAI key", "xai-key", "xa" + "i-" + alnum(80)),
    ("Perplexity key", "perplexity-key", "pp" + "lx-" + alnum(48)),
    ("LangSmith key", "langsmith-key", "lsv2" + "_pt_" + hexed(32) + "_" + hexed(10)),
    ("Tavily key", "tavily-key", "tv" + "ly-dev-" + alnum(32)),
    ("ElevenLabs key", "elevenlabs-key", "sk" + "_" + hexed(48)),
    ("Pinecone key", "pinecone-key", "pc" + "sk_" + alnum(68)),
    ("NVIDIA key", "nvidia-key", "nv" + "api-" + alnum(64)),
    ("Supabase key", "supabase-key", "sb" + "p_" + hexed(40)),
    ("Netlify token", "netlify-token", "nf" + "p_" + alnum(40)),
    ("Fly token", "fly-token", "fm" + "2_" + base64ish(120)),
    ("HubSpot token", "hubspot-token", "pat" + "-na1-" + uuid_like()),
    ("Airtable token", "airtable-token", "pat" + alnum(14) + "." + hexed(64)),
    ("Azure client secret", "azure-client-secret", "aB3" + "8Q" + "~" + alnum(34)),
    ("Tailscale key", "tailscale-key", "ts" + "key-auth-" + alnum(12) + "-" + alnum(32)),
    ("Sourcegraph token", "sourcegraph-token", "sg" + "p_" + hexed(40)),
    ("age key", "age-key", "AGE-" + "SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" + "QPZRY9X8GF2TVDW0S3JN54KHCE"),
    ("JWT", "jwt", jwt()),
    ("RSA private key", "private-key", _block("RSA " + "PRIVATE KEY")),
    ("PKCS8 private key", "private-key", _block("PRIVATE" + " KEY")),
    ("OpenSSH private key", "private-key", _block("OPENSSH " + "PRIVATE KEY")),
    ("PGP private key", "private-key", _block("PGP " + "PRIVATE KEY BLOCK", 60)),
]

#: name, text, the words in it that must not survive.
CONTEXTS: list[tuple[str, str, str]] = []


def _context(name: str, text: str, secret: str) -> None:
    CONTEXTS.append((name, text.format(s=secret), secret))


_context("Bearer header", "Authorization: Bearer {s}", alnum(40))
_context("bearer in lower case", "curl -H 'authorization: bearer {s}' https://api.example.com", hexed(40))
_context("token header", "Authorization: Token {s}", hexed(40))
_context("X-Api-Key header", "X-Api-Key: {s}", alnum(32))
_context("X-Auth-Token header", "X-Auth-Token: {s}\r\nAccept: */*", alnum(32))
_context("Basic header", "Authorization: Basic {s}", base64.b64encode(b"admin:" + alnum(12).encode()).decode())
_context("Cookie header", "Cookie: theme=dark; sessionid={s}", lower(32))
_context("Set-Cookie header", "Set-Cookie: sid={s}; Path=/; HttpOnly", lower(32))
_context("URL with a password", "git clone https://bob:{s}@git.example.com/a.git", alnum(14))
_context("PostgreSQL URL", "postgresql+psycopg://app:{s}@db.internal:5432/shop?sslmode=require", alnum(16))
_context("MySQL URL", "mysql://root:{s}@localhost/shop", alnum(10))
_context("MongoDB URL", "mongodb+srv://svc:{s}@cluster0.mongodb.net/", alnum(16))
_context("Redis URL", "redis://:{s}@cache:6379/0", alnum(16))
_context("AMQP URL", "amqps://guest:{s}@mq.example.com/vhost", alnum(16))
_context("password with @ in a URL", "postgres://app:{s}@db/x", "p@" + alnum(8))
_context(
    "Azure storage",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={s};EndpointSuffix=x",
    base64ish(86) + "==",
)
_context("Azure shared access", "https://a.blob.core.windows.net/c?sv=2024&sig={s}", alnum(40) + "%3D")
_context("SQL Server", "Server=tcp:x,1433;User ID=sa;Password={s};Encrypt=True", alnum(12))
_context("AWS secret key in a file", "aws_secret_access_key = {s}", base64ish(40))
_context("AWS secret key beside its id", "AK" + "IA" + upper(16) + " {s}", "wJalr" + base64ish(35))
_context("environment file", "STRIPE_ENABLED=1\nDB_PASSWORD={s}\nPORT=80", "swordfish")
_context("Datadog key", "DD_API_KEY={s}", hexed(32))
_context("Heroku key as UUID", 'HEROKU_API_KEY="{s}"', uuid_like())
_context("YAML", "database:\n  user: app\n  password: {s}\n", "korrekt-horse-7")
_context("command line", "mysqldump --user root --password {s} shop", "swordfish")
_context("command line with =", "deploy --api-key={s}", alnum(20))
_context("Python literal", "client = Client(api_key='{s}')", alnum(24))
_context("typed assignment", 'password: str = "{s}"', "swordfish")
_context("JSON in text", 'I called it with {{"client_secret": "{s}"}}', "not-in-any-table-1")
_context("JSON in JSON", '{{"body": "{{\\"password\\": \\"{s}\\"}}"}}', "hunter2hunter")
_context("XML", "<user>bob</user><password>{s}</password>", "hunter2!")
_context("query string", "GET /v1/items?limit=3&access_token={s}&x=1", alnum(24))
_context("Slack webhook", "https://hooks.slack" + ".com/services/{s}", f"T{upper(8)}/B{upper(10)}/{alnum(24)}")
_context("Discord webhook", "https://discord" + ".com/api/webhooks/{s}", f"{digits(18)}/{alnum(68)}")
_context("Twilio auth token", "A" + "C" + hexed(32) + ":{s}", hexed(32))
_context("card number", "please use my card 4{s}, thanks", "012888888881881")
_context("card number with spaces", "Visa: {s} exp 12/29", "4012 8888 8888 1881")
_context("prose: is", "my password is {s}", "hunter2")
_context("prose: use", "use the password: {s} and go on", "Tr0ub4dor&3")
_context("prose: for", "The password for the staging database is {s}.", "Xk29-vva")
_context("prose: quoted", 'the passphrase is "{s}"', "correct horse battery staple")
_context("prose: API key", "The API key is {s}", lower(24))
_context("prose: access token", "here is my access token: {s}", lower(24))
_context("prose: beside", "I logged in with password {s} just now", "tr0ub4dor")
_context("prose: before", "{s} is my password", "hunter22")
_context("prose: plain word", "My password is {s}.", "swordfish")
_context("prose: changed to", "I have set the admin password to {s}", "Winter2026!")
_context("prose: pin", "my PIN is {s}", "4821")
_context("prose: upper case", "MY PASSWORD IS {s}", "HUNTER2X")
_context("markdown", "**Password:** {s}", "hunter2x")
_context(
    "seed phrase", "my seed phrase is {s}", "apple banana cherry dog eagle fox grape house igloo jungle kite lemon"
)

#: None of these may change.
INNOCENT: list[str] = [
    "550e8400-e29b-41d4-a716-446655440000",
    "commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "order #W2378156, items 7706410293 and 1151293680, payment credit_card_9513926",
    '{"order_id": "#W2378156", "item_ids": ["1151293680"], "payment_method_id": "gift_card_3748392"}',
    "/usr/lib/python3.11/site-packages/acontext_store/sql/migrations/versions/0001_initial.py",
    "write to jane.doe+news@example.co.uk or call +1 (555) 010-9999",
    "IBAN DE89 3704 0044 0532 0130 00",
    "I clicked on password reset, but no e-mail came.",
    "The password reset link was sent to your address.",
    "My password is not working any more.",
    "Your password is incorrect. Your password is required.",
    "My password is too long and the password is expired",
    "password is being reset",
    "Forgot password? Click here.",
    "The password must be at least 8 characters long.",
    "the token limit 4096 was exceeded; token limit is 4096",
    "used 12345 tokens, max_tokens=4096, token_count: 8191",
    '{"token_count": 4096, "max_tokens": 256, "prompt_tokens": 12, "next_page_token": "CAUQAA12345abc"}',
    '{"nextPageToken": "EAAaBlBUOkNBVQ12", "key": "value-1234-abcd", "primary_key": "id_12345678"}',
    '{"page_token": "eyJvZmZzZXQiOjUwfQ", "continuationToken": "1!88!MDAwMDMy"}',
    "We are doing secret santa this year; it is no secret.",
    "the secret to good bread is time; the secret is 24 hours of rest",
    "the key to success, the API key concept, key figures of 2024",
    "password = get_password()",
    "password = getpass.getpass('Password: ')",
    "token = request.headers['Authorization']",
    "api_key = os.environ['OPENAI_API_KEY']",
    "const password = process.env.DB_PASSWORD;",
    "def login(user: str, password: str, token: str | None = None) -> bool:",
    "client = Client(api_key=api_key, secret=self.secret, token=settings.token)",
    "if password == confirm_password:",
    "password: Optional[str] = None",
    'os.getenv("API_KEY", default=None)',
    "export API_KEY=$MY_API_KEY",
    "secret = base64.b64decode(payload[6:]); token = b64encode(user).decode()",
    "private_key = ed25519.Ed25519PrivateKey.from_private_bytes(raw)",
    "self._trusted_credentials = trusted_s3_mount_credentials",
    "Token.String: '#AB0909'",
    "api_key: ${API_KEY}",
    "password: {{ vault_password }}",
    "Authorization: Bearer <token>",
    "Authorization: Bearer $TOKEN",
    '{"password": null, "secret": "", "token": true}',
    '{"password": "********", "api_key": "<your-api-key>"}',
    '{"type": "object", "properties": {"password": {"type": "string", "description": "the password"}}}',
    "bearer of bad news; the bearer token scheme; Basic authentication",
    "the basic idea; basic training",
    "https://example.com/a/b?key=home&page=2#top",
    "http://localhost:8080/path@v1.2.3/file",
    "https://user@example.com/x",
    "see https://docs.example.com/reset-password and https://example.com/tokens/list",
    "cookie: chocolate chip; cookies are good",
    "my boarding pass is in the bag; pass the salt",
    "ask-me-anything-about-the-new-release-2024",
    "task-management-and-other-long-hyphenated-words",
    "sk-learn-introduction-to-classification",
    "npm_config_registry_with_long_name, hf_hub_download_with_progress",
    "the card is a Visa, number ends in 1881",
    "card 1234567890123456 is not a valid one",
    "tracking number 4012888888881881",
    "data:image/png;base64," + base64ish(4000),
    base64ish(20_000),
    "ETag: 33a64df551425fcc55e4d42a148795d9f25f89d4",
    "v1.2.3-rc.4+build.5678, 2026-01-01T00:00:00.000000Z, 127.0.0.1:8029",
    "call_8aZkQ2mXf3LwN9pRtY6vB1cD, toolu_01A09q90qw90lq917835lq9, resp_67ccd2bed1ec8190b14f964abc0542670b",
    "The passenger list, compass and password-less login.",
    "Enter your PIN at the terminal. The PIN code area is 560001",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ" + base64ish(300) + " bob@host",
    "-----BEGIN PUBLIC KEY-----\n" + base64ish(64) + "\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\n" + base64ish(64) + "\n-----END CERTIFICATE-----",
]
