/**
 * The content of an image as SPDX: npm's own list of packages, Node, and Debian's packages.
 *
 * @module
 */

import * as v from 'valibot'
import { ROOT, run } from './cache.ts'
import type { DebianPackage } from './debian.ts'
import { digestOf } from './oci.ts'

/** A fixed time, so that equal builds give equal bytes. */
const CREATED = '1970-01-01T00:00:00Z'

const spdxSchema = v.looseObject({
  packages: v.array(v.looseObject({ name: v.string(), SPDXID: v.string() })),
  relationships: v.array(v.looseObject({})),
})

export interface SbomParts {
  readonly version: string
  readonly node: { readonly name: string; readonly version: string }
  readonly debian: readonly DebianPackage[]
}

export async function sbom({ version, node, debian }: SbomParts): Promise<object> {
  const flags = ['--sbom-format', 'spdx', '--omit', 'dev', '--omit', 'optional']
  const { stdout } = await run('npm', ['sbom', ...flags, '--package-lock-only'], { cwd: ROOT })
  const { packages, relationships } = v.parse(spdxSchema, JSON.parse(stdout))
  const root = `SPDXRef-Package-trousseau-${version}`
  const added = [
    spdxPackage(node.name, node.version, `pkg:npm/${node.name}@${node.version}`),
    ...debian.map(debianPackage),
  ]
  const content = {
    packages: [...packages, ...added],
    relationships: [
      ...relationships,
      ...added.map(({ SPDXID }) => ({
        spdxElementId: root,
        relatedSpdxElement: SPDXID,
        relationshipType: 'CONTAINS',
      })),
    ],
  }
  const digest = digestOf(JSON.stringify(content)).replace(':', '-')
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `trousseau@${version}`,
    documentNamespace: `http://spdx.org/spdxdocs/trousseau-${version}-${digest}`,
    creationInfo: { created: CREATED, creators: ['Tool: npm-sbom', 'Tool: trousseau-build'] },
    documentDescribes: [root],
    ...content,
  }
}

function debianPackage({ name, version, architecture, sha256 }: DebianPackage) {
  const query = `arch=${architecture}&distro=trixie`
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?${query}`
  const checksums = [{ algorithm: 'SHA256', checksumValue: sha256 }]
  return { ...spdxPackage(name, version, purl), checksums }
}

function spdxPackage(name: string, version: string, referenceLocator: string) {
  const id = `${name}-${version}`.replaceAll(/[^A-Za-z0-9.-]/g, '-')
  return {
    name,
    SPDXID: `SPDXRef-Package-${id}`,
    versionInfo: version,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    externalRefs: [
      { referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator },
    ],
  }
}
