/**
 * Two names of the web's types that the declarations of aws4fetch use; Node's types
 * have them without these names, and Deno brings its own.
 *
 * @module
 */

type HeadersInit = ConstructorParameters<typeof Headers>[0]
type BodyInit = NonNullable<ConstructorParameters<typeof Response>[0]>
