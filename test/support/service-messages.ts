/** Texts of log lines and responses by which end-to-end tests recognise what a service says. */

/** Logged by a gateway and by an analyzer once its servers listen. */
export const LISTENING = 'listening'

/** Logged as an error by an analyzer, with the fields `partition` and `gone` (samples). */
export const ROLLED_BACK = 'Redis has forgotten accepted samples'

/** Logged as an error by an analyzer for each poison entry. */
export const UNREADABLE_ENTRY = 'an entry could not be read'

/** Part of the reason of a sample that a 503 neither confirms nor denies. */
export const MAY_BE_STORED = 'may or may not be stored'
