# Says who is in front of the page, with Python's standard library:
#   IDENTITY_SECRET=mc_identity_… python3 sign.py merchant-7
import base64, hashlib, hmac, json, os, sys, time


def identity(secret: str, user: str, seconds: int = 300) -> str:
    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    text = part({"alg": "HS256", "typ": "JWT"}) + "." + part({"sub": user, "exp": int(time.time()) + seconds})
    tag = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return text + "." + base64.urlsafe_b64encode(tag).rstrip(b"=").decode()


if __name__ == "__main__":
    secret = os.environ.get("IDENTITY_SECRET")
    # An empty secret would sign as well, and anybody could do the same.
    if not secret:
        sys.exit("IDENTITY_SECRET is not set: give it the secret of `merchant-copilot key issue --role identity`.")
    print(identity(secret, sys.argv[1]))
