// A certified OpenID Connect provider with its own pages: node provider.js PORT. Anybody logs in, under the address that
// they type; "unverified@…" has an address that nobody verified. Clients register themselves (RFC 7591).
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['given_name', 'family_name'] },
  conformIdTokenClaims: process.argv[3] !== 'claims-in-id-token',
  cookies: { keys: ['only for tests'] },
  features: { registration: { enabled: true }, devInteractions: { enabled: true } },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: id,
      email_verified: !id.startsWith('unverified'),
      given_name: 'Grace',
      family_name: 'Elsewhere',
    }),
  }),
});
provider.listen(port, '127.0.0.1', () => console.log(`listening as ${issuer}`));
