"""Calls as providers send them, with what they publish as examples where they publish any."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.verification import Verify, verify_from
from web.verification.call import SignedCall

NOW = 1_700_000_000.0
JSON_BODY = b'{"order_id": 17, "total": 900.5, "note": "caf\xc3\xa9, \\u00fc"}'
URL = "https://weft.example/hooks/tok"


@dataclass(frozen=True, kw_only=True)
class Example:
    """`rule` as it is written; `now` is when the call came. `signs` are the headers that decide."""

    rule: Mapping[str, Any]
    secrets: tuple[str, ...]
    headers: Mapping[str, str]
    signs: tuple[str, ...]
    body: bytes = JSON_BODY
    method: str = "POST"
    urls: tuple[str, ...] = (URL,)
    now: float = NOW
    signs_body: bool = True
    jwks: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def verify(self) -> Verify:
        return verify_from(self.rule)

    @property
    def call(self) -> SignedCall:
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        return SignedCall(self.method, self.urls, headers, self.body)


def hex_hmac(secret: str, signed: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), signed, algorithm).hexdigest()


def base64_hmac(secret: str, signed: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hmac.new(secret.encode(), signed, algorithm).digest()).decode()


# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
GITHUB = Example(
    rule={"provider": "github", "secret": "HOOK"},
    secrets=("It's a Secret to Everybody",),
    headers={
        "content-type": "application/json",
        "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    },
    signs=("x-hub-signature-256",),
    body=b"Hello, World!",
)

# https://docs.slack.dev/authentication/verifying-requests-from-slack
SLACK = Example(
    rule={"provider": "slack", "secret": "HOOK"},
    secrets=("8f742231b10e8888abcd99yyyzzz85a5",),
    headers={
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    },
    signs=("x-slack-request-timestamp", "x-slack-signature"),
    body=(
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
        b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    ),
    now=1531420618.0,
)

# The signed example of the reference libraries, https://github.com/standard-webhooks/standard-webhooks
STANDARD = Example(
    rule={"provider": "standard-webhooks", "secret": "HOOK"},
    secrets=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
    headers={
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
    signs=("webhook-id", "webhook-timestamp", "webhook-signature"),
    body=b'{"test": 2432232314}',
    now=1614265330.0,
)

# The same repository, libraries/go/webhook_asymmetric_test.go; the public key is that of its private one.
STANDARD_ASYMMETRIC = Example(
    rule={"provider": "standard-webhooks", "secret": "HOOK"},
    secrets=("whpk_ZlN4eg7dSSqi0moX9hQUk3orrOouK3QVQSlJa248c/g=",),
    headers={
        **STANDARD.headers,
        "webhook-signature": (
            "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
        ),
    },
    signs=STANDARD.signs,
    body=STANDARD.body,
    now=STANDARD.now,
)

# https://docs.gitlab.com/user/project/integrations/webhooks/: the token itself, or a signing token as above
GITLAB = Example(
    rule={"provider": "gitlab", "secret": "HOOK"},
    secrets=("a-secret-token-of-gitlab",),
    headers={"x-gitlab-event": "Push Hook", "x-gitlab-token": "a-secret-token-of-gitlab"},
    signs=("x-gitlab-token",),
    signs_body=False,
)
GITLAB_SIGNED = Example(
    rule={"provider": "gitlab", "secret": "HOOK"},
    secrets=STANDARD.secrets,
    headers={**STANDARD.headers, "x-gitlab-event": "Push Hook"},
    signs=STANDARD.signs,
    body=STANDARD.body,
    now=STANDARD.now,
)

# https://docs.stripe.com/webhooks#verify-manually says how; it publishes no signature with its secret.
STRIPE = Example(
    rule={"provider": "stripe", "secret": "HOOK"},
    secrets=("whsec_test_secret",),
    headers={
        "stripe-signature": f"t={NOW:.0f},v1={hex_hmac('whsec_test_secret', b'%d.%b' % (NOW, JSON_BODY))}"
    },
    signs=("stripe-signature",),
)

# https://shopify.dev/docs/apps/build/webhooks/verify-deliveries says how; it publishes no signature either.
SHOPIFY = Example(
    rule={"provider": "shopify", "secret": "HOOK"},
    secrets=("hush",),
    headers={"x-shopify-hmac-sha256": base64_hmac("hush", JSON_BODY), "x-shopify-topic": "orders/create"},
    signs=("x-shopify-hmac-sha256",),
)

# https://www.twilio.com/docs/usage/security#validating-requests and the tests of its libraries
# (twilio-python, tests/unit/test_request_validator.py)
TWILIO = Example(
    rule={"provider": "twilio", "secret": "HOOK"},
    secrets=("12345",),
    headers={
        "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
        "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
    },
    signs=("x-twilio-signature",),
    body=b"Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE",
    urls=("https://mycompany.com/myapp.php?foo=1&bar=2",),
)
TWILIO_JSON = Example(
    rule={"provider": "twilio", "secret": "HOOK"},
    secrets=("12345",),
    headers={"content-type": "application/json", "x-twilio-signature": "a9nBmqA0ju/hNViExpshrM61xv4="},
    signs=("x-twilio-signature",),
    body=b'{"property": "value", "boolean": true}',
    urls=(
        "https://mycompany.com/myapp.php?foo=1&bar=2"
        "&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
    ),
)

HMAC_SHA1 = Example(
    rule={"provider": "hmac", "secret": "HOOK", "header": "X-Signature", "algorithm": "sha1"},
    secrets=("correct horse",),
    headers={"x-signature": hex_hmac("correct horse", JSON_BODY, "sha1")},
    signs=("x-signature",),
)
HMAC_BASE64 = Example(
    rule={
        "provider": "hmac",
        "secret": "HOOK",
        "header": "Authorization",
        "encoding": "base64",
        "prefix": "HMAC ",
    },
    secrets=("correct horse",),
    headers={"authorization": f"HMAC {base64_hmac('correct horse', JSON_BODY)}"},
    signs=("authorization",),
)
HMAC_TIMED = Example(
    rule={
        "provider": "hmac",
        "secret": "HOOK",
        "header": "X-Signature",
        "algorithm": "sha512",
        "encoding": "base64url",
        "prefix": "v1=",
        "timestampHeader": "X-Time",
        "tolerance": "1m",
    },
    secrets=("correct horse",),
    headers={
        "x-time": f"{NOW:.0f}",
        "x-signature": "v1="
        + base64_hmac("correct horse", b"%d.%b" % (NOW, JSON_BODY), "sha512").translate({43: 45, 47: 95}),
    },
    signs=("x-time", "x-signature"),
)

BEARER = Example(
    rule={"provider": "bearer", "secret": "HOOK"},
    secrets=("mF_9.B5f-4.1JqM",),  # https://www.rfc-editor.org/rfc/rfc6750#section-2.1
    headers={"authorization": "Bearer mF_9.B5f-4.1JqM"},
    signs=("authorization",),
    signs_body=False,
)
BEARER_HEADER = Example(
    rule={"provider": "bearer", "secret": "HOOK", "header": "X-Api-Key"},
    secrets=("mF_9.B5f-4.1JqM",),
    headers={"x-api-key": "mF_9.B5f-4.1JqM"},
    signs=("x-api-key",),
    signs_body=False,
)
BASIC = Example(
    rule={"provider": "basic", "secret": "HOOK", "user": "Aladdin"},
    secrets=("open sesame",),  # https://www.rfc-editor.org/rfc/rfc7617#section-2
    headers={"authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
    signs=("authorization",),
    signs_body=False,
)

_JWT_SECRET = "0123456789abcdef0123456789abcdef"
ISSUERS_KEY = ec.generate_private_key(ec.SECP256R1())
CLAIMS = {
    "iss": "https://login.example",
    "aud": ["weft", "other"],
    "exp": NOW + 300,
    "iat": NOW - 5,
    "sub": "ci",
}


def token(
    claims: Mapping[str, Any] = CLAIMS, *, key: Any = ISSUERS_KEY, algorithm: str = "ES256", **head: Any
) -> str:
    return jwt.encode(dict(claims), key, algorithm, headers={"kid": "k1", **head})


def public_jwk(key: Any = ISSUERS_KEY, **more: Any) -> dict[str, Any]:
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "use": "sig", **more}


JWT_SECRET = Example(
    rule={"provider": "jwt", "secret": "HOOK", "issuer": "https://login.example", "audience": "weft"},
    secrets=(_JWT_SECRET,),
    headers={"authorization": f"Bearer {token(key=_JWT_SECRET, algorithm='HS256')}"},
    signs=("authorization",),
    signs_body=False,
)
JWT_ISSUER = Example(
    rule={
        "provider": "jwt",
        "issuer": "https://login.example",
        "audience": "weft",
        "claims": {"sub": ["ci", "cd"]},
    },
    secrets=(),
    headers={"authorization": f"Bearer {token()}"},
    signs=("authorization",),
    signs_body=False,
    jwks={"keys": [public_jwk()]},
)

# https://www.rfc-editor.org/rfc/rfc7515#appendix-A.3
RFC_7515_ES256 = Example(
    rule={"provider": "jwt", "issuer": "joe", "claims": {"http://example.com/is_root": True}},
    secrets=(),
    headers={
        "authorization": (
            "Bearer eyJhbGciOiJFUzI1NiJ9"
            ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
            ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        )
    },
    signs=("authorization",),
    signs_body=False,
    now=1300819370.0,
    jwks={
        "keys": [
            {
                "kty": "EC",
                "crv": "P-256",
                "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            }
        ]
    },
)

# https://www.rfc-editor.org/rfc/rfc7515#appendix-A.2
RFC_7515_RS256 = Example(
    rule=RFC_7515_ES256.rule,
    secrets=(),
    headers={
        "authorization": (
            "Bearer eyJhbGciOiJSUzI1NiJ9"
            ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
            ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9"
            "uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB"
            "_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq"
            "Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        )
    },
    signs=("authorization",),
    signs_body=False,
    now=1300819370.0,
    jwks={
        "keys": [
            {
                "kty": "RSA",
                "n": (
                    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql"
                    "L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs"
                    "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoud"
                    "F8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
                ),
                "e": "AQAB",
            }
        ]
    },
)

EXAMPLES: Mapping[str, Example] = {
    "github": GITHUB,
    "gitlab": GITLAB,
    "gitlab-signed": GITLAB_SIGNED,
    "stripe": STRIPE,
    "slack": SLACK,
    "shopify": SHOPIFY,
    "twilio": TWILIO,
    "twilio-json": TWILIO_JSON,
    "standard-webhooks": STANDARD,
    "standard-webhooks-asymmetric": STANDARD_ASYMMETRIC,
    "hmac-sha1": HMAC_SHA1,
    "hmac-base64": HMAC_BASE64,
    "hmac-timed": HMAC_TIMED,
    "bearer": BEARER,
    "bearer-header": BEARER_HEADER,
    "basic": BASIC,
    "jwt": JWT_SECRET,
    "jwt-issuer": JWT_ISSUER,
    "jwt-rfc-es256": RFC_7515_ES256,
    "jwt-rfc-rs256": RFC_7515_RS256,
}
