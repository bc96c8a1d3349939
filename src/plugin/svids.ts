/** JWT-SVIDs for whatever the config logs in with; what asks for them is loaded by the first who does. @module */

import type { FetchSvids } from '../remote/jwt_svid.ts'

export const fetchSvids: FetchSvids = async (request, limits) => {
  const agent = await import('../grpc/spiffe.ts')
  return await agent.fetchSvids(request, limits)
}
