/** Limits that kube-apiserver enforces on what a plugin answers, in bytes. @module */

/** KMS v2 refuses a longer ciphertext (rule E2). */
export const MAX_V2_CIPHERTEXT_BYTES = 1024
/** KMS v1beta1 stores the length in 16 bits (rule V3). */
export const MAX_V1_CIPHERTEXT_BYTES = 65_535
/** A longer key id is refused (rule S7). */
export const MAX_KEY_ID_BYTES = 1024
/** Keys and values together (rule E6). */
export const MAX_ANNOTATION_BYTES = 32_768
/** What a v2 API server wraps: one seed (rule E1). */
export const SEED_BYTES = 32
