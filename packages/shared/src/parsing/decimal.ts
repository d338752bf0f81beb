/**
 * A number as people and devices write it: `21.5`, `+7`, `.5`, `5.`, `1e-3`. There is only one way
 * to match each digit, so a long text that is no number takes linear time.
 */
export const DECIMAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/
