/**
 * Two type names of the web that the declarations of aws4fetch use. Node's types have the types
 * without these names, and Deno brings its own.
 *
 * @module
 */

type HeadersInit = ConstructorParameters<typeof Headers>[0]
type BodyInit = NonNullable<ConstructorParameters<typeof Response>[0]>
