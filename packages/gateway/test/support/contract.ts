import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'

/** What the tests read of an OpenAPI document. */
export interface Operation {
  readonly operationId: string
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  readonly requestBody?: { readonly content: Readonly<Record<string, Content>> }
  readonly responses: Readonly<Record<string, DocumentedResponse>>
}

interface Content {
  readonly schema: object
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>
}

interface DocumentedResponse {
  readonly headers?: Readonly<Record<string, unknown>>
  /** Absent where the response has no body. */
  readonly content?: Readonly<Record<string, Content>>
}

export interface ApiDocument {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, object>>; readonly securitySchemes: object }
}

export interface Route {
  readonly method: string
  /** As in the document: `/rules/{id}`. */
  readonly path: string
  readonly operation: Operation
}

/** Lists the operations of a document by their id. */
export function operationsOf({ paths }: ApiDocument): Map<string, Route> {
  const routes = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  )
  return new Map(routes.map(route => [route.operation.operationId, route]))
}

/** Returns the body of a response; of a feed, which has no end, its first part. */
export async function textOf(response: Response): Promise<string> {
  if (response.headers.get('Content-Type') !== 'text/event-stream') return response.text()
  const reader = response.body?.getReader()
  const { value } = (await reader?.read()) ?? {}
  await reader?.cancel()
  return new TextDecoder().decode(value)
}

/** Compares responses and examples with a document. */
export function createContract({ components }: ApiDocument) {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  const compiled = new Map<object, ValidateFunction>()

  function violations(schema: object, value: unknown): string[] {
    const validate = compiled.get(schema) ?? ajv.compile({ ...schema, components })
    compiled.set(schema, validate)
    return validate(value) ? [] : (validate.errors ?? []).map(error => `${error.instancePath} ${error.message}`)
  }

  return {
    violations,
    /** Returns how a response differs from what is documented; none if it does not. */
    async differences(response: Response, { responses }: Operation): Promise<string[]> {
      const documented = responses[response.status]
      if (documented === undefined) return [`the status ${response.status} is not documented`]
      const missing = Object.keys(documented.headers ?? {}).filter(name => !response.headers.has(name))
      const absent = missing.map(name => `the header ${name} is missing`)
      if (documented.content === undefined)
        return (await response.text()) === '' ? absent : ['a body is not documented']
      const type = response.headers.get('Content-Type')?.split(';')[0] ?? ''
      const content = documented.content[type]
      if (content === undefined) return [`the type ${type} of a ${response.status} is not documented`]
      const body: unknown = type.endsWith('json') ? await response.json() : await textOf(response)
      return [...absent, ...violations(content.schema, body)]
    },
  }
}
