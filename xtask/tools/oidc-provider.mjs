// A real OpenID Connect provider for tests: npm's `oidc-provider`, whose keys can be changed while it runs.
//
// Its issuer listens on PORT, by TLS where CERT and KEY name PEM files. ADMIN_PORT, always without TLS, answers as well:
// POST /token (client_credentials), POST /admin/rotate?keep=true|false, GET /admin/looked-up. Keys are kept in KEYS, so that
// it comes back with them after it was ended.
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import Provider from 'oidc-provider'

const { PORT, ADMIN_PORT, ISSUER, AUDIENCE, CLIENTS, KEYS, CERT, KEY, MAX_AGE } = process.env
const ALGORITHMS = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] }

const newKeys = () => Object.entries(ALGORITHMS).map(([alg, [type, options]]) => {
  const key = generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' })
  return { ...key, alg, use: 'sig', kid: randomUUID() }
})

let keys = existsSync(KEYS) ? JSON.parse(readFileSync(KEYS)) : newKeys()
let lookedUp = 0
let answer

// A provider has the keys that it was made with: new keys, a new one behind the same address.
const renew = () => {
  writeFileSync(`${KEYS}.part`, JSON.stringify(keys))
  renameSync(`${KEYS}.part`, KEYS)
  const provider = new Provider(ISSUER, {
    jwks: { keys },
    enabledJWA: { idTokenSigningAlgValues: Object.keys(ALGORITHMS) },
    clients: CLIENTS.split(' ').map((client) => ({
      client_id: client,
      client_secret: `secret of ${client}`,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_post',
    })),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        // The resource says how its tokens are signed.
        getResourceServerInfo: (_context, resource) => ({
          scope: 'anamnesis',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: resource.split(':').at(-1) } },
        }),
      },
    },
  })
  answer = provider.callback()
}

const serve = (request, response) => {
  const url = new URL(request.url, ISSUER)
  if (url.pathname === '/jwks') {
    lookedUp += 1
    if (MAX_AGE) response.setHeader('cache-control', `public, max-age=${MAX_AGE}`)
  }
  return answer(request, response)
}

const administer = (request, response) => {
  const url = new URL(request.url, ISSUER)
  if (url.pathname === '/admin/looked-up') return response.end(String(lookedUp))
  if (url.pathname === '/admin/rotate' && request.method === 'POST') {
    keys = [...newKeys(), ...(url.searchParams.get('keep') === 'true' ? keys : [])]
    renew()
    return response.end('rotated')
  }
  return answer(request, response)
}

// Whoever started it is gone.
process.stdin.resume().on('end', () => process.exit())

renew()
const server = CERT ? createTlsServer({ cert: readFileSync(CERT), key: readFileSync(KEY) }, serve) : createServer(serve)
server.listen(Number(PORT), '127.0.0.1', () => createServer(administer).listen(Number(ADMIN_PORT), '127.0.0.1'))
