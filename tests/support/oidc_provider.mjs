// A real OpenID Connect provider (npm oidc-provider) for tests: everybody may sign in under any name.
// node oidc_provider.mjs PORT REDIRECT_URI
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const kid = randomBytes(8).toString('hex');
const client = {
  redirect_uris: [redirectUri],
  token_endpoint_auth_method: 'client_secret_basic',
  grant_types: ['authorization_code', 'client_credentials'],
  response_types: ['code'],
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' }] },
  clients: [
    { client_id: 'whisperer', client_secret: 'their secret of 32 characters ...', ...client },
    { client_id: 'other', client_secret: 'other secret of 32 characters ...', ...client },
  ],
  pkce: { required: () => true },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'api',
        audience: resource.replace('urn:', ''),
        accessTokenTTL: 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: () => ({ groups: ['growth'] }),
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@example.com`,
      email_verified: id !== 'unverified',
      name: id,
      groups: id === 'nobody' ? [] : ['growth'],
    }),
  }),
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
