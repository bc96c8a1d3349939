/**
 * Rewrites every object unchanged, which an API server really writes only where the object is
 * stale.
 *
 * @module
 */

import * as v from 'valibot'
import { inParallel, type KubeApi } from './kube_api.ts'

const list = v.object({
  items: v.array(v.object({ metadata: v.object({ name: v.string(), namespace: v.string() }) })),
})

/** @returns how many there were */
export async function rewriteAll(
  api: KubeApi,
  resources: readonly string[] = ['secrets', 'configmaps'],
): Promise<number> {
  let count = 0
  for (const resource of resources) {
    const { items } = v.parse(list, await api.must('GET', `/api/v1/${resource}`))
    await inParallel(items.length, async (index) => {
      const { name, namespace } = items[index]?.metadata ?? {}
      const path = `/api/v1/namespaces/${namespace}/${resource}/${name}`
      const contentType = 'application/merge-patch+json'
      const { status } = await api.send('PATCH', path, {}, { contentType })
      // It may have been deleted or written meanwhile.
      if (![200, 404, 409].includes(status)) throw new Error(`PATCH ${path} answered ${status}`)
    })
    count += items.length
  }
  return count
}
