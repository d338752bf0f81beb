/** Texts of log lines and responses by which end-to-end tests recognise what a service says. */

/** Logged by a gateway and by an analyzer once its servers listen. */
export const LISTENING = 'listening'

/** Logged as an error by an analyzer, with the fields `partition` and `lost` (samples). */
export const ROLLED_BACK = 'Redis lost accepted samples'

/** Logged as an error by an analyzer whose rules are no longer those in Redis, which are older. */
export const RULES_LOST = 'Redis lost rules, or older ones were restored: those in Redis are in force now'

/** Logged as an error by an analyzer for each unreadable or poison entry. */
export const UNREADABLE_ENTRY = 'an entry became a dead letter'

/** Part of the reason of a sample that a 503 neither confirms nor denies. */
export const MAY_BE_STORED = 'may or may not be stored'

/** Parts of the reasons of samples that were not stored. */
export const MEMORY_LIMIT_REACHED = "the store's memory is at its limit"
export const PARTITION_FULL = 'the backlog of its partition is full'

/** The error with which a process of another partition count exits. */
export const OTHER_PARTITION_COUNT = /holds a deployment of 8 partitions, and PARTITIONS is 9/

/** Logged at debug by an analyzer for each entry with a traceparent. */
export const ENTRY_ANALYSED = 'an entry was analysed'

/** Logged as a warning when the collector is unavailable. */
export const SPANS_NOT_SENT = 'spans could not be sent'

/** The sentences of an alert of a key and of a storm of 30 of 31 keys, or of all of them. */
export const ROSE_TO_1000 = /^"cpu" \{é\} of edge-17 rose to 1000; the previous 50 samples were /
export const STORM_OF_31 = /^Alert storm: \d+ of 31 keys raised an alert within a short time: /

/** What `npm run load` prints and writes to its report. */
export const THRESHOLD_MISSED = 'missed: p95 of POST /ingest in ms is '
export const REPORT_WRITTEN = 'the report is '
export const THRESHOLDS_MET = '**No threshold was missed.**'
export const NO_SERVER = 'no gateway responds at http://127.0.0.1:1. Start Tidemark'
