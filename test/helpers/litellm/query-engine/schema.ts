/** The models of a Prisma schema: for each the type of each of its fields, `Json` or the name of another model among them. */
export type Models = ReadonlyMap<string, ReadonlyMap<string, string>>;

export function parseModels(schema: string): Models {
  const models = [...schema.matchAll(/^\s*model\s+(\w+)\s*\{([^]*?)^\s*\}/gm)];
  return new Map(models.map(([, name = '', body = '']) => [name, fieldsOf(body)]));
}

function fieldsOf(body: string): Map<string, string> {
  const fields = [...body.matchAll(/^[ \t]*(\w+)[ \t]+(\w+)/gm)];
  return new Map(fields.map(([, name = '', type = '']) => [name, type]));
}

/** The schema as the WebAssembly engine accepts it: with the generator of the client that the engine is made for. */
export function forDriverAdapters(schema: string): string {
  const generator = 'generator client {\n  provider = "prisma-client-js"\n  previewFeatures = ["driverAdapters"]\n}';
  return schema.replace(/generator\s+\w+\s*\{[^}]*\}/, generator);
}

export function datasourceName(schema: string): string {
  return /datasource\s+(\w+)\s*\{/.exec(schema)?.[1] ?? '';
}
