/** Calls a model over Chat Completions, on a connection of its own; resolves to the answer, whose body has been read. */
export async function askModel(url: string, credential: Record<string, string>, model: string): Promise<Response> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...credential, 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'say hello' }], max_tokens: 100 }),
  });
  await response.arrayBuffer();
  return response;
}
