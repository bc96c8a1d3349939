/**
 * Fetches JWT-SVIDs for the logins that use them. The client for the SPIFFE agent is loaded at the
 * first use.
 *
 * @module
 */

import type { FetchSvids } from '../remote/jwt_svid.ts'

export const fetchSvids: FetchSvids = async (request, limits) => {
  const agent = await import('../grpc/spiffe.ts')
  return await agent.fetchSvids(request, limits)
}
