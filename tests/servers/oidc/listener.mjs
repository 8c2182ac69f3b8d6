// An authorization server for SMART Backend Services, on 127.0.0.1 only, for tests.
// Arguments: the folder it is installed in, a file with the client's public keys (a JWKS), a
// port (0: a free one), and how many seconds a token lives. Prints "READY <issuer>". One client,
// `fhir-adapter`, that proves itself by a signed assertion; an assertion whose jti was seen before
// is refused. A FHIR server, `fhir-server`, may ask by its password whether a token is good.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, keys, port, life] = process.argv.slice(2);
const home = path.join(path.resolve(folder), 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { Provider } = await import(pathToFileURL(home));

const CLIENT = 'fhir-adapter';
const METHOD = 'private_key_jwt';
const ALGORITHMS = ['RS384', 'ES384'];
const SCOPES = ['system/*.rs', 'system/*.cruds', 'system/*.read', 'system/Patient.rs'];
const OF_OTHERS = ['system/Device.cruds']; // known here, and not this client's
const LONGEST = 300; // seconds, the longest that SMART advises
const BY_PASSWORD = 'client_secret_basic';

function configured() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const own = privateKey.export({ format: 'jwk' });
  return {
    clients: [
      {
        client_id: CLIENT,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: METHOD,
        jwks: JSON.parse(readFileSync(keys, 'utf8')),
        scope: SCOPES.join(' '),
      },
      {
        client_id: 'fhir-server',
        client_secret: 'of-tests-only',
        grant_types: [],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: BY_PASSWORD,
      },
    ],
    clientAuthMethods: [METHOD, BY_PASSWORD],
    enabledJWA: { clientAuthSigningAlgValues: ALGORITHMS },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
    },
    jwks: { keys: [{ ...own, kid: 'own', alg: 'RS256', use: 'sig' }] },
    scopes: [...SCOPES, ...OF_OTHERS],
    ttl: { ClientCredentials: Number(life ?? LONGEST) },
  };
}

function smart(issuer) {
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    grant_types_supported: ['client_credentials'],
    token_endpoint_auth_methods_supported: [METHOD],
    token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    scopes_supported: SCOPES,
    capabilities: ['client-confidential-asymmetric', 'permission-v2'],
  };
}

let handle; // the issuer carries the port, which is known once we listen
const server = http.createServer((request, response) => handle(request, response));
server.listen(Number(port), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configured()).callback();
  handle = (request, response) => {
    if (request.url !== '/.well-known/smart-configuration') return provider(request, response);
    response.writeHead(200, { 'content-type': 'application/json' });
    return response.end(JSON.stringify(smart(issuer)));
  };
  console.log(`READY ${issuer}`);
});
