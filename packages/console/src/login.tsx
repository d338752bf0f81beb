import { useSignal } from '@preact/signals'
import { TidemarkError } from '@tidemark/client/error'
import { caller, client } from './api.ts'

export function Login() {
  const failure = useSignal('')
  const isBusy = useSignal(false)
  async function signIn(event: SubmitEvent): Promise<void> {
    event.preventDefault()
    const form = event.currentTarget as HTMLFormElement
    const key = new FormData(form).get('key')
    isBusy.value = true
    failure.value = ''
    try {
      caller.value = await client.login(String(key))
    } catch (error) {
      failure.value = explain(error)
    } finally {
      isBusy.value = false
    }
  }
  return (
    <main class="login-page">
      <section class="panel stack">
        <h1>Tidemark</h1>
        <p class="soft">Sign in with an API key that has the scope read. It is not stored in this browser.</p>
        <form class="login" onSubmit={event => void signIn(event)}>
          <label class="field">
            API key
            <input name="key" type="password" autocomplete="current-password" required placeholder="tmk_…" />
          </label>
          <div role="alert" class="bad">
            {failure}
          </div>
          <button type="submit" class="button main" disabled={isBusy}>
            Sign in
          </button>
        </form>
      </section>
    </main>
  )
}

function explain(error: unknown): string {
  if (!(error instanceof TidemarkError)) return String(error)
  if (error.status === 401) return 'This API key is not valid: it is misspelled, revoked or expired.'
  if (error.status === 0) return 'The gateway does not respond. Try again in a moment.'
  return error.problem?.detail ?? error.message
}
