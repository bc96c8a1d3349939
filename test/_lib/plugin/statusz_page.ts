/** What `/statusz` says, as the tests read it. @module */

import * as v from 'valibot'
import { adminPage } from './admin_page.ts'

const statusz = v.object({
  endpoints: v.array(
    v.object({
      name: v.string(),
      state: v.string(),
      keyId: v.optional(v.string()),
      why: v.optional(v.string()),
      degradedSince: v.optional(v.string()),
      providers: v.record(
        v.string(),
        v.object({ role: v.string(), joinsAt: v.optional(v.string()) }),
      ),
    }),
  ),
  providers: v.array(v.object({ name: v.string(), ok: v.boolean() })),
})

type EndpointPage = v.InferOutput<typeof statusz>['endpoints'][number]

/** @param name of the endpoint */
export async function statuszOf(adminSocket: string, name = 'default'): Promise<EndpointPage> {
  const page = v.parse(statusz, JSON.parse(await adminPage(adminSocket, '/statusz')))
  const found = page.endpoints.find((each) => each.name === name)
  if (found === undefined) throw new Error(`No endpoint ${name} in /statusz`)
  return found
}

/** Role of each provider by its name. */
export function rolesOf({ providers }: EndpointPage): Record<string, string> {
  return Object.fromEntries(Object.entries(providers).map(([name, { role }]) => [name, role]))
}
