// User access tokens of the identity API, read only to know whose they are: the server decides what they are good for.

export interface Claims {
  /** The user, as `8:acs:<resource>_<user>`. */
  user: string;
  expires: Date;
}

export function readToken(token: string): Claims {
  const payload = token.trim().split(".")[1];
  if (!payload) throw new Error("That is not a user access token.");
  let claims: { skypeid?: unknown; exp?: unknown };
  try {
    claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) as typeof claims;
  } catch {
    throw new Error("That is not a user access token.");
  }
  if (typeof claims.skypeid !== "string" || typeof claims.exp !== "number") {
    throw new Error("That token names no user.");
  }
  const user = claims.skypeid.startsWith("8:") ? claims.skypeid : `8:${claims.skypeid}`;
  return { user, expires: new Date(claims.exp * 1000) };
}
