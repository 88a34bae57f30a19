"""Second factors for tests: what an authenticator app does, and a person who has set one up (RFC 6238).

Each code works once, so a person who signs in often within half a minute goes on with recovery codes."""

import base64
import hashlib
import hmac
import struct
import time

STEP = 30


def totp(secret, step):
    """`secret` in base32, blanks allowed; `step` is the time divided by 30 s."""
    key = base64.b32decode(secret.replace(" ", ""))
    mac = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    at = mac[19] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7FFFFFFF) % 1000000:06}"


class App:
    """An authenticator app with its recovery codes beside it."""

    def __init__(self, secret, recovery=()):
        self.secret, self.recovery, self.last = secret, list(recovery), 0

    def code(self):
        """A code that was not used yet: of the app while there is one, else a recovery code, else after a wait."""
        while True:
            now = int(time.time()) // STEP
            for step in (now - 1, now, now + 1):
                # The window may move on until the code arrives.
                if step > self.last and not (step == now - 1 and time.time() % STEP > STEP - 5):
                    self.last = step
                    return totp(self.secret, step)
            if self.recovery:
                return self.recovery.pop()
            time.sleep(0.5)
