/** Options of a Redis whose password no service may write: service-process.ts checks every line. */
export const SECURED = { args: ['--requirepass', 'end-to-end#Passw0rd'] }
