// A file of its own, because the policy of the page allows no inline script.
const dark = matchMedia('(prefers-color-scheme: dark)')
const followScheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', followScheme)
followScheme()

// Requests that are tried are sent with the cookie of the session, if the browser has one.
SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  validatorUrl: null,
  withCredentials: true,
})

/** Says as who requests are sent. */
async function showCaller() {
  const response = await fetch('/session')
  const { name, scopes, via } = await response.json()
  const scopesOf = () => `${scopes.length === 1 ? 'scope' : 'scopes'} ${scopes.join(', ')}`
  document.getElementById('caller').textContent =
    via === 'session'
      ? `Requests are sent as ${name}, with the ${scopesOf()}.`
      : response.ok
        ? 'Requests need no API key.'
        : 'Sign in on the console, or authorize with an API key, to try requests that need one.'
}
showCaller().catch(() => {})
