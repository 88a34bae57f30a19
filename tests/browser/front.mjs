// What nginx is to the portal, small: HTTPS on a free port of 127.0.0.1, our headers set and inbound
// copies removed, and a tiny application behind the cookie. In front of the stand-in's socket.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, existsSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";

const sites = {
  "acme.localhost": ["app", 1],
  "notes.localhost": ["app", 1],
  "id.acme.localhost": ["sign-in", 1],
  "shut.localhost": ["sign-in", 2],
  "console.localhost": ["operator", 0],
};

function certificate(directory) {
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(directory, name));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
    "-subj", "/CN=masugata test", "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

function toPortal(directory, request, response, host) {
  const [origin, tenant] = sites[host];
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !name.startsWith("x-masugata-")));
  Object.assign(headers, {
    "x-masugata-origin": origin, "x-masugata-tenant": String(tenant), "x-masugata-host": host,
    "x-masugata-client": "192.0.2.7", "x-masugata-request": "0".repeat(32),
  });
  const onward = http.request({ socketPath: path.join(directory, "http.sock"), method: request.method, path: request.url, headers },
    (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
  onward.on("error", () => response.writeHead(502).end());
  request.pipe(onward);
}

// The application sees whether a session cookie came; the real gate would have judged it.
function toApp(request, response) {
  const signedIn = /__Host-masugata=[\w-]{43}/.test(request.headers.cookie ?? "");
  if (!signedIn) {
    response.writeHead(302, { location: `/.masugata/start?return=${encodeURIComponent(request.url)}` }).end();
    return;
  }
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  response.end(`<!doctype html><html lang="en"><title>App</title><h1>App ${request.url.replace(/[<&]/g, "")}</h1>
    <form method="post" action="/.masugata/sign-out"><button>Leave</button></form></html>`);
}

function listen(server, port) {
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server.address().port)));
}

export async function start(build) {
  const directory = mkdtempSync("/tmp/mgb");
  const server = https.createServer(certificate(directory), (request, response) => {
    const host = (request.headers.host ?? "").split(":")[0];
    if (!(host in sites)) response.writeHead(421).end();
    else if (sites[host][0] === "app" && !/^\/\.(masugata|well-known\/masugata)\//.test(request.url)) toApp(request, response);
    else toPortal(directory, request, response, host);
  });
  const port = await listen(server, 0);
  const portal = spawn(path.join(build, "tests/portal/portal-stand-in"), [directory, String(port)], { stdio: ["pipe", "inherit", "inherit"] });
  while (!existsSync(path.join(directory, "http.sock"))) await new Promise((resolve) => setTimeout(resolve, 20));
  return {
    url: (host, rest = "/") => `https://${host}:${port}${rest}`,
    publish: (name, document) => writeFileSync(path.join(directory, name), JSON.stringify(document)),
    stop: async () => {
      portal.stdin.end();
      server.closeAllConnections();
      server.close();
      await new Promise((resolve) => portal.on("exit", resolve));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
