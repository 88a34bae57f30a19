// What an authenticator app computes (RFC 6238), for the browser tests. Each code works once: `next` gives one that was
// not given before, waiting for it if it must.
import { createHmac } from "node:crypto";

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

export function totp(secret, step) {
  const bits = [...secret.replace(/ /g, "")].map((c) => alphabet.indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac("sha1", key).update(counter).digest();
  const at = mac[19] & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1000000).padStart(6, "0");
}

export class App {
  constructor(secret) {
    this.secret = secret;
    this.last = 0;
  }

  async next() {
    for (;;) {
      const now = Math.floor(Date.now() / 30000);
      for (const step of [now, now + 1]) {
        if (step > this.last) {
          this.last = step;
          return totp(this.secret, step);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}
