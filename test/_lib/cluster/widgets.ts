/** A custom resource for tests. @module */

import { until } from '../wait.ts'
import type { KubeApi } from './kube_api.ts'

export const WIDGETS = '/apis/example.org/v1/namespaces/default/widgets'

/** Resolves when the API server serves it in the namespace of `widgets`. */
export async function defineWidgets(api: KubeApi, widgets = WIDGETS): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  await api.must('POST', path, WIDGET_DEFINITION)
  await until('widgets are served', async () => (await api.send('GET', widgets)).status === 200)
}

export function widget(name: string, text: string): object {
  const metadata = { name, namespace: 'default' }
  return { apiVersion: 'example.org/v1', kind: 'Widget', metadata, spec: { text } }
}

const WIDGET_DEFINITION = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.org' },
  spec: {
    group: 'example.org',
    scope: 'Namespaced',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        },
      },
    ],
  },
}
