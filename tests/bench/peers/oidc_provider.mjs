// oidc-provider, as the peer of the auth server: ES256, JWT access tokens, rotating refresh tokens, state in
// process memory. Its login page is replaced by one that signs in at once, so that no password hash is in
// any figure.
//
//     node oidc_provider.mjs PORT
import Provider from 'oidc-provider';
import { generateKeyPairSync } from 'node:crypto';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'bench' };
const api = `${issuer}/api`;

const provider = new Provider(issuer, {
  jwks: { keys: [jwk] },
  cookies: { keys: ['only for a benchmark on loopback'] },
  clients: [
    {
      // Not as a native application: it would ask for consent each time.
      client_id: 'bench-public', token_endpoint_auth_method: 'none', application_type: 'web',
      redirect_uris: ['http://127.0.0.1:49152/callback'], response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'], id_token_signed_response_alg: 'ES256',
    },
    {
      client_id: 'bench-service', client_secret: 'a secret of the benchmark', redirect_uris: [], response_types: [],
      grant_types: ['client_credentials'], token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: 'ES256',
    },
  ],
  scopes: ['openid', 'offline_access'],
  rotateRefreshToken: true,
  issueRefreshToken: () => true,
  pkce: { required: () => true },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_, interaction) => `/sign-in/${interaction.uid}` },
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid offline_access');
    grant.addResourceScope(api, 'inventory:write reservations:read');
    await grant.save();
    return grant;
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => api,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'inventory:write reservations:read', audience: api, accessTokenTTL: 300,
        accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/sign-in/')) return next();
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: 'bench' } }, { mergeWithLastSubmission: false });
  ctx.respond = false;
});
provider.listen(port, '127.0.0.1', () => console.log('ready'));
