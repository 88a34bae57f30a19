// oidc-provider (npm) as a peer: oidc_peer.mjs CONFIGURATION.json; certificate and key beside it. Prints "ready".
import dns from 'node:dns'
import fs from 'node:fs'
import https from 'node:https'
import path from 'node:path'
import { Provider } from 'oidc-provider'

// The provider calls us back under names that only browsers know to be this machine.
const look = dns.lookup
dns.lookup = (host, options, done) => {
  const callback = done ?? options
  if (!host.endsWith('.localhost')) return look(host, options, done)
  const address = { address: '127.0.0.1', family: 4 }
  return process.nextTick(() => (options?.all ? callback(null, [address]) : callback(null, address.address, 4)))
}

const place = process.argv[2]
const settings = JSON.parse(fs.readFileSync(place))
const beside = (name) => fs.readFileSync(path.join(path.dirname(place), name))
const people = { hana: { email: 'hana@acme.example', email_verified: true, name: '花', groups: ['Staff'] } }

const provider = new Provider(settings.issuer, {
  clients: settings.clients,
  jwks: settings.jwks,
  claims: { openid: ['sub', 'sid'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  conformIdTokenClaims: settings.conform ?? true,
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...(people[id] ?? {}) }) }),
  features: {
    devInteractions: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  httpOptions: () => ({ dnsLookup: dns.lookup }), // the one above; it keeps the original otherwise
  pkce: { required: () => true },
  cookies: { keys: ['only for this test'] },
})
provider.on('backchannel.error', (ctx, error) => console.error('back channel:', error.message, error.cause ?? ''))
provider.on('backchannel.success', () => console.error('back channel: done'))
https.createServer({ key: beside('server.key'), cert: beside('server.pem') }, provider.callback())
  .listen(settings.port, '127.0.0.1', () => console.log('ready'))
