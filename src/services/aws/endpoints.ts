/**
 * The hosts of AWS, as listed in "Service endpoints" for KMS
 * (docs.aws.amazon.com/general/latest/gr/kms.html) and STS (…/gr/sts.html), and for dual-stack
 * hosts in …/gr/rande.html; suffixes of partitions as in the SDKs' partitions.json.
 *
 * @module
 */

/**
 * The second part of a partition's ARNs, its regions, the suffix of its hosts, and of its
 * dual-stack hosts.
 */
type Partition = readonly [id: string, regions: RegExp, suffix: string, dualStackSuffix: string]

const COMMERCIAL: Partition = ['aws', /^/, 'amazonaws.com', 'api.aws']
const PARTITIONS: readonly Partition[] = [
  ['aws-cn', /^cn-/, 'amazonaws.com.cn', 'api.amazonwebservices.com.cn'],
  ['aws-us-gov', /^us-gov-/, 'amazonaws.com', 'api.aws'],
  ['aws-eusc', /^eusc-/, 'amazonaws.eu', 'api.amazonwebservices.eu'],
  ['aws-iso', /^us-iso-/, 'c2s.ic.gov', 'api.aws.ic.gov'],
  ['aws-iso-b', /^us-isob-/, 'sc2s.sgov.gov', 'api.aws.scloud'],
  ['aws-iso-e', /^eu-isoe-/, 'cloud.adc-e.uk', 'api.cloud-aws.adc-e.uk'],
  ['aws-iso-f', /^us-isof-/, 'csp.hci.ic.gov', 'api.aws.hci.ic.gov'],
]

interface AwsPlace {
  readonly region: string
  readonly fips: boolean
  readonly dualStack: boolean
}

/** The partition of a region, which follows `arn:` in its ARNs. */
export function partitionOf(region: string): string {
  return find(region)[0]
}

export function awsEndpoint(service: 'kms' | 'sts', { region, fips, dualStack }: AwsPlace): string {
  const [id, , suffix, dualStackSuffix] = find(region)
  // STS of GovCloud is FIPS-validated under its ordinary name.
  const plain = !fips || (service === 'sts' && id === 'aws-us-gov' && !dualStack)
  const host = plain ? service : `${service}-fips`
  return `https://${host}.${region}.${dualStack ? dualStackSuffix : suffix}`
}

function find(region: string): Partition {
  return PARTITIONS.find(([, regions]) => regions.test(region)) ?? COMMERCIAL
}
