/**
 * Login with the settings of `/etc/kubernetes/azure.json`, the file of the cloud provider for
 * Azure, read as Azure/kubernetes-kms reads it (cloud-provider-azure.sigs.k8s.io/install/configs).
 * The file is read again at every login.
 *
 * @module
 */

import * as v from 'valibot'
import { KmsError, systemReasonOf } from '../../../base/errors.ts'
import { readSmallFile } from '../../../base/small_file.ts'
import { absolutePath } from '../../../remote/login_fields.ts'
import type { LoginMethod } from '../../../remote/token_source.ts'
import { AZURE_CLOUDS, type AzureCloudName } from '../clouds.ts'
import { type CertificateDeps, createClientCertificateLogin } from './certificate.ts'
import { createManagedIdentityLogin, type IdentityDeps } from './identity.ts'
import { createClientSecretLogin, createWorkloadIdentityLogin } from './secret.ts'

export const azureJsonConfig = v.strictObject({
  method: v.literal('azureJson'),
  file: v.optional(
    v.pipe(absolutePath, v.description("File of Kubernetes' cloud provider for Azure")),
    '/etc/kubernetes/azure.json',
  ),
})
type AzureJsonConfig = v.InferOutput<typeof azureJsonConfig>

export interface AzureJsonDeps extends CertificateDeps, IdentityDeps {
  readonly cloud: AzureCloudName
}

const text = v.nullish(v.string(), '')
const flag = v.nullish(v.boolean(), false)
const azureJson = v.object({
  cloud: text,
  tenantId: text,
  aadClientId: text,
  aadClientSecret: text,
  aadClientCertPath: text,
  useManagedIdentityExtension: flag,
  userAssignedIdentityID: text,
  useFederatedWorkloadIdentityExtension: flag,
  aadFederatedTokenFile: text,
})
type AzureJson = v.InferOutput<typeof azureJson>

export function createAzureJsonLogin({ file }: AzureJsonConfig, deps: AzureJsonDeps): LoginMethod {
  return {
    name: 'azureJson',
    async prepare(call) {
      const json = await readAzureJson(file)
      if (!AZURE_CLOUDS[deps.cloud].names.test(json.cloud)) {
        throw unusable(file, `is of another cloud: set cloud, which is "${deps.cloud}" now`)
      }
      return await loginOf(json, file, deps).prepare(call)
    },
  }
}

function loginOf(json: AzureJson, file: string, deps: AzureJsonDeps): LoginMethod {
  const { tenantId, aadClientId: clientId } = json
  if (json.useManagedIdentityExtension) return identityOf(json.userAssignedIdentityID, deps)
  if (tenantId === '' || clientId === '') {
    throw unusable(
      file,
      'names neither a managed identity nor tenantId and aadClientId: wanted what the node logs in with',
    )
  }
  if (json.useFederatedWorkloadIdentityExtension) {
    const tokenFile = json.aadFederatedTokenFile
    const method = 'workloadIdentity'
    return createWorkloadIdentityLogin({ method, tenantId, clientId, tokenFile }, deps)
  }
  if (json.aadClientSecret !== '') {
    return createClientSecretLogin(
      { tenantId, clientId, secretFile: file },
      deps,
      json.aadClientSecret,
    )
  }
  if (json.aadClientCertPath !== '') {
    const certFile = json.aadClientCertPath
    return createClientCertificateLogin({ tenantId, clientId, certFile }, deps)
  }
  throw unusable(file, 'has no aadClientSecret, aadClientCertPath or managed identity')
}

/** The vendor's plugin accepts client ids alone. */
function identityOf(id: string, deps: AzureJsonDeps): LoginMethod {
  if (id === '') return createManagedIdentityLogin({}, deps)
  return createManagedIdentityLogin(
    id.startsWith('/') ? { resourceId: id } : { clientId: id },
    deps,
  )
}

async function readAzureJson(path: string): Promise<AzureJson> {
  const content = await readSmallFile(path).catch((cause: unknown) => {
    throw unusable(path, `cannot be read: ${systemReasonOf(cause)}`, cause)
  })
  const json = v.safeParse(v.pipe(v.string(), v.parseJson(), azureJson), content)
  if (json.success) return json.output
  const at = json.issues.map((issue) => v.getDotPath(issue) ?? '(root)').join(', ')
  throw unusable(path, `is no JSON of the cloud provider: wrong at ${at}`)
}

function unusable(path: string, why: string, cause?: unknown): KmsError {
  return new KmsError(`File "${path}" of login.file ${why}`, { code: 'denied', cause })
}
