/** Turns grpc-js's own texts for a call without an answer into words for an operator. @module */

/** Its words of 1.14, which begin so and are no server's. The first that fits. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/^Deadline exceeded/, 'no answer in time'],
  [
    /^(?:Received HTTP status code|Received RST_STREAM|No (?:status information|message) received|Protocol not secure)/,
    'what answers there does not speak gRPC, or gave up in the middle',
  ],
  [
    /^(?:\w+: )?(?:No connection established|Failed to (?:connect|start HTTP)|Connection dropped|Write (?:error|failed)|Stream refused|Channel closed|The pending stream has been canceled)/,
    'the connection was closed, or what listens there does not speak gRPC',
  ],
  [/^Received message .*larger than/, 'the answer is larger than the maximum that is taken'],
  [
    /^(?:Response message parsing error|Failed to decompress)/,
    'the answer is not a message of this API',
  ],
  [/^Name resolution failed/, 'the name does not resolve'],
]

/** A server's own words as they are. */
export function plainDetails(details: string): string {
  return WORDS.find(([pattern]) => pattern.test(details))?.[1] ?? details
}
