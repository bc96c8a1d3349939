/**
 * The content of an image as SPDX: the packages in the bundle, Node, and Debian's packages.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import manifest from '../package.json' with { type: 'json' }
import type { DebianPackage } from './debian.ts'
import { type Dependency, nameOf } from './dependencies.ts'
import { digestOf } from './oci.ts'

/** A fixed time, so that equal builds give equal bytes. */
const CREATED = '1970-01-01T00:00:00Z'

const GCC = 'GPL-3.0-or-later WITH GCC-exception-3.1'
/** Of most of each package; Debian's own file of copyrights has the rest. */
const DEBIAN_LICENCES: Readonly<Record<string, string>> = {
  'base-files': 'GPL-2.0-or-later',
  'ca-certificates': 'GPL-2.0-or-later AND MPL-2.0',
  'gcc-14-base': GCC,
  libatomic1: GCC,
  libc6: 'LGPL-2.1-or-later',
  'libgcc-s1': GCC,
  'libstdc++6': GCC,
}

export interface SbomParts {
  readonly node: Dependency
  /** The packages in the bundle. */
  readonly bundled: readonly Dependency[]
  readonly debian: readonly DebianPackage[]
}

export function sbom({ node, bundled, debian }: SbomParts): object {
  const { name, version, license } = manifest
  const root = spdxPackage({ name, version, license, purl: `pkg:npm/${name}@${version}` })
  const added = [...[...bundled, node].map(npmPackage), ...debian.map(debianPackage)]
  const content = {
    packages: [{ ...root, primaryPackagePurpose: 'APPLICATION' }, ...added],
    relationships: [
      relationship('SPDXRef-DOCUMENT', 'DESCRIBES', root),
      ...added.map((each) => relationship(root.SPDXID, 'CONTAINS', each)),
    ],
  }
  const digest = digestOf(JSON.stringify(content)).replace(':', '-')
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `${name}@${version}`,
    documentNamespace: `http://spdx.org/spdxdocs/${name}-${version}-${digest}`,
    creationInfo: { created: CREATED, creators: ['Tool: trousseau-build'] },
    documentDescribes: [root.SPDXID],
    ...content,
  }
}

function npmPackage(dependency: Dependency) {
  const { version, license, integrity } = dependency
  const name = nameOf(dependency)
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
  const checksumValue = Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex')
  return {
    ...spdxPackage({ name, version, license, purl }),
    checksums: [{ algorithm: 'SHA512', checksumValue }],
  }
}

function debianPackage({ name, version, architecture, sha256 }: DebianPackage) {
  const query = `arch=${architecture}&distro=trixie`
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?${query}`
  const license = DEBIAN_LICENCES[name] ?? 'NOASSERTION'
  return {
    ...spdxPackage({ name, version, license, purl }),
    licenseComments: `All of them: /usr/share/doc/${name}/copyright in the image`,
    checksums: [{ algorithm: 'SHA256', checksumValue: sha256 }],
  }
}

interface Described {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly purl: string
}

function spdxPackage({ name, version, license, purl }: Described) {
  const id = `${name}-${version}`.replaceAll(/[^A-Za-z0-9.-]/g, '-')
  return {
    name,
    SPDXID: `SPDXRef-Package-${id}`,
    versionInfo: version,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    // npm puts more than one into brackets.
    licenseDeclared: license.replace(/^\((.*)\)$/, '$1'),
    externalRefs: [
      { referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl },
    ],
  }
}

function relationship(from: string, relationshipType: string, { SPDXID }: { SPDXID: string }) {
  return { spdxElementId: from, relatedSpdxElement: SPDXID, relationshipType }
}
