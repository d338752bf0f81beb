import type { Scope } from '@tidemark/shared/access/scope'

/** The scope that a route requires, or that it is open to every caller. */
export type Access = Scope | 'open'

/** Who may use a route. */
export interface RouteRule {
  readonly access: Access
  /**
   * The route limits itself to the keys of its caller. Without it, the route concerns the whole
   * deployment, and API keys that are bound to a key prefix get 403.
   */
  readonly ownKeys?: boolean | undefined
  /** The API key may be the parameter `p` of the query, as old clients of InfluxDB send it. */
  readonly queryCredentials?: boolean | undefined
  /** It changes nothing whatever its method, so the audit log says nothing of it. */
  readonly isProbe?: boolean | undefined
}

interface Operation extends RouteRule {
  /** The name under which it is documented; undefined for none. */
  readonly operation: string | undefined
}

/** Knows who may use each route. The app fills it; every way into the gateway uses it. */
export class RouteAccess {
  /** By route and method. */
  readonly #routes = new Map<string, Map<string, Operation>>()

  add(method: string, route: string, rule: RouteRule, operation?: string): void {
    const methods = this.#routes.get(route) ?? new Map<string, Operation>()
    this.#routes.set(route, methods.set(method, { ...rule, operation }))
  }

  /** Returns the operation that a method of a route is documented as; undefined for none. */
  operationOf(method: string, route: string): string | undefined {
    return this.#routes.get(route)?.get(method)?.operation
  }

  /** Every route: its method, its template, and who may use it. */
  list(): (RouteRule & { readonly method: string; readonly route: string })[] {
    return [...this.#routes].flatMap(([route, methods]) =>
      [...methods].map(([method, rule]) => ({ method, route, ...rule })),
    )
  }

  /** Whether a path supports a method. */
  serves(method: string, route: string): boolean {
    return this.#routes.get(route)?.has(method) === true
  }

  /**
   * Returns who may use a route. A method that its path does not support is open: it gets 405.
   * Throws for a path that nothing has declared, so that a forgotten route is closed.
   */
  of(method: string, route: string): RouteRule {
    const methods = this.#routes.get(route)
    if (methods === undefined) {
      if (route === UNMATCHED) return OPEN
      throw new Error(`the route ${route} declares no access`)
    }
    return methods.get(method === 'HEAD' ? 'GET' : method) ?? OPEN
  }
}

const OPEN: RouteRule = { access: 'open' }

/** The template of a request that no route serves: it gets 404. */
export const UNMATCHED = 'unmatched'
