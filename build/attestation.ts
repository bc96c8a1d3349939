/**
 * What is attested about an image: its SBOM and its provenance, as in-toto statements in a manifest
 * of their own. The manifest names the image both by OCI's `subject` and in the way of BuildKit, so
 * that tools of either kind find it.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import manifest from '../package.json' with { type: 'json' }
import { ROOT, run } from './cache.ts'
import { nameOf } from './dependencies.ts'
import { type Descriptor, digestOf, type Layout, MEDIA } from './oci.ts'
import { type SbomParts, sbom } from './sbom.ts'

const PREDICATES = {
  sbom: 'https://spdx.dev/Document',
  provenance: 'https://slsa.dev/provenance/v1',
} as const

interface AttestedParts extends SbomParts {
  readonly name: string
  readonly image: Descriptor
  readonly architecture: string
}

/** Resolves to the descriptor for the index that names the image. */
export async function attest(layout: Layout, parts: AttestedParts): Promise<Descriptor> {
  const { image } = parts
  const statements = [
    await statement(layout, parts, PREDICATES.sbom, sbom(parts)),
    await statement(layout, parts, PREDICATES.provenance, await provenance(parts)),
  ]
  const unknown = { architecture: 'unknown', os: 'unknown' }
  const diffIds = statements.map(({ digest }) => digest)
  const config = { ...unknown, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } }
  const manifest = await layout.addJson(MEDIA.manifest, {
    artifactType: MEDIA.statement,
    config: await layout.add(MEDIA.config, JSON.stringify(config)),
    layers: statements,
    subject: { mediaType: image.mediaType, digest: image.digest, size: image.size },
  })
  const annotations = {
    'vnd.docker.reference.digest': image.digest,
    'vnd.docker.reference.type': 'attestation-manifest',
  }
  return { ...manifest, platform: unknown, annotations }
}

async function statement(
  layout: Layout,
  { name, image }: AttestedParts,
  predicateType: string,
  predicate: object,
): Promise<Descriptor> {
  const content = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name, digest: { sha256: image.digest.replace('sha256:', '') } }],
    predicateType,
    predicate,
  }
  const added = await layout.add(MEDIA.statement, JSON.stringify(content))
  return { ...added, annotations: { 'in-toto.io/predicate-type': predicateType } }
}

async function provenance(parts: AttestedParts): Promise<object> {
  const { architecture, node, debian } = parts
  const locks = ['package-lock.json', 'build/image.lock.json'].map(async (name) => {
    const digest = digestOf(await readFile(join(ROOT, name)))
    return { name, digest: { sha256: digest.replace('sha256:', '') } }
  })
  const packages = debian.map(({ name, version: of, architecture: on, sha256 }) => ({
    uri: `pkg:deb/debian/${name}@${encodeURIComponent(of)}?arch=${on}`,
    digest: { sha256 },
  }))
  return {
    buildDefinition: {
      buildType: 'urn:trousseau:build:image:1',
      externalParameters: {
        version: manifest.version,
        architecture,
        revision: await revision(),
      },
      resolvedDependencies: [
        ...(await Promise.all(locks)),
        { uri: `pkg:npm/${nameOf(node)}@${node.version}` },
        ...packages,
      ],
    },
    runDetails: { builder: { id: 'urn:trousseau:build' } },
  }
}

/** The commit, followed by `-dirty` when the tree differs from it, or `unknown` without git. */
export function revision(): Promise<string> {
  const args = ['describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
  return run('git', args, { cwd: ROOT }).then(
    ({ stdout }) => stdout.trim(),
    () => 'unknown',
  )
}
