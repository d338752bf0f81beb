import type { Scope } from '@tidemark/shared/access/scope'

/** The scope that a route requires, or that it is open to every caller. */
export type Access = Scope | 'open'

/** Knows the access of every route. The app fills it; every way into the gateway uses it. */
export class RouteAccess {
  readonly #routes = new Map<string, Map<string, Access>>()

  add(method: string, route: string, access: Access): void {
    const methods = this.#routes.get(route) ?? new Map<string, Access>()
    this.#routes.set(route, methods.set(method, access))
  }

  /** Every route: its method, template and access. */
  list(): { readonly method: string; readonly route: string; readonly access: Access }[] {
    return [...this.#routes].flatMap(([route, methods]) =>
      [...methods].map(([method, access]) => ({ method, route, access })),
    )
  }

  /**
   * Returns the access of a route. A method that its path does not support is open: it gets 405.
   * Throws for a path that nothing has declared, so that a forgotten route is closed.
   */
  of(method: string, route: string): Access {
    const methods = this.#routes.get(route)
    if (methods === undefined) {
      if (route === UNMATCHED) return 'open'
      throw new Error(`the route ${route} declares no access`)
    }
    return methods.get(method === 'HEAD' ? 'GET' : method) ?? 'open'
  }
}

/** The template of a request that no route serves: it gets 404. */
export const UNMATCHED = 'unmatched'
