/** Files of the clouds' own tools that logins read: profiles of AWS. @module */

import { readProfile } from '../../../src/services/aws/login/profile.ts'
import { textMutator } from '../mutate/text.ts'
import { bytesOf, fileTarget, type Surface } from '../surface.ts'

const PROFILES = `[default]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = secret # of nobody
[profile outer]
role_arn = arn:aws:iam::111122223333:role/r
source_profile = default
external_id=x1
s3 =
  max_concurrent_requests = 20
[profile web]
role_arn = arn:aws:iam::111122223333:role/w
web_identity_token_file = /var/run/token
[profile host]
role_arn = arn:aws:iam::111122223333:role/h
credential_source = Ec2InstanceMetadata
`
const WORDS = [
  'source_profile',
  'credential_source',
  'credential_process',
  'sso_session',
  'profile ',
  'default',
  '[',
  ']',
  ' #',
  ';',
]

export const awsProfile: Surface = {
  name: 'aws_profile',
  from: 'whoever may write the files of the AWS command line',
  files: ['services/aws/login/profile.ts'],
  mutate: textMutator(WORDS, [' ', '[ ', 'a ', '=', '\n']),
  open: () =>
    Promise.resolve(
      fileTarget([bytesOf(PROFILES)], async (path) => {
        const files = { configFile: path, credentialsFile: path }
        const names = ['default', 'outer', 'web', 'host']
        const found = await Promise.allSettled(
          names.map((profile) => readProfile({ profile, ...files })),
        )
        const failed = found.find((each) => each.status === 'rejected')
        if (failed !== undefined) throw failed.reason
      }),
    ),
}
