#!/usr/bin/python3
"""make bench, federation: sign-ins through an OpenID provider, beside LemonLDAP::NG as relying party of the same one.

Both ask the same provider (tests/integration/identity_provider.py: RS256, userinfo, one key set) over HTTPS, both are behind
nginx with TLS, a visitor is a new connection each: the way to the provider, the way back with the code, the session's
cookie. What a relying party can do a second on one core is what its own processes spend: CPU of everything that
belongs to it (nginx, portal, authority, federation, keys, audit, PostgreSQL; nginx and the Perl of LemonLDAP::NG), while
the two take turns in blocks. The time by the clock, one visitor after another, has the provider and the visitor in it.
Budget: 5 x (issue 3).

federation.py [sign-ins a block] [blocks]"""

import hashlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import _lemonldap  # noqa: E402
from harness import Deployment, free_port, wait_until  # noqa: E402
from identity_provider import Authority, IdentityProvider, encode  # noqa: E402

IN_A_BLOCK = int(sys.argv[1]) if len(sys.argv) > 1 else 40
BLOCKS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
BUDGET = 5


def tree(root):
    """A process and all that came from it."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += parents.get(pid, [])
    return found


def cpu_ms(roots):
    total = 0
    for pid in {pid for root in roots for pid in tree(root)}:
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
    return total / 1e6


class Visitor:
    """One connection, cookies, no more than a browser on its way through."""

    def __init__(self, host, port, context):
        self.host, self.cookies = f"{host}:{port}", {}
        self.link = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
        self.link.connect = lambda: self._connect(host, port, context)

    def _connect(self, host, port, context):
        self.link.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname=host)

    def get(self, path):
        headers = {"Host": self.host}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.link.request("GET", path, headers=headers)
        answer = self.link.getresponse()
        answer.body = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name.strip()] = value
        return answer

    def close(self):
        self.link.close()


def path_of(url):
    parts = urllib.parse.urlsplit(url)
    return parts.path + ("?" + parts.query if parts.query else "")


class Ours:
    name, cookie = "masugata", "__Host-masugata"

    def __init__(self, deployment, idp):
        self.deployment, self.idp = deployment, idp
        self.roots = [row["pid"] for row in deployment.status().values() if row.get("pid")]
        self.prober = deployment.status()["prober"]["pid"]
        self.device = {}  # a browser keeps that cookie, also when its session is over

    def sign_in(self):
        context = ssl._create_unverified_context()
        visitor = Visitor("id.acme.localhost", self.deployment.https_port, context)
        visitor.cookies.update(self.device)
        away = visitor.get("/federation/start/main?return=/account")
        back = visitor.get(path_of(self.idp.authorize(away.headers["Location"])))
        assert back.status == 303 and self.cookie in visitor.cookies, (back.status, back.body[:300])
        self.device = {name: value for name, value in visitor.cookies.items() if name == "__Host-masugata-device"}
        visitor.close()


class Theirs:
    """LemonLDAP::NG's portal, as its documentation has it, with everything in files and the defaults of Debian."""

    name, cookie = "LemonLDAP::NG", "lemonldap"

    def __init__(self, idp, authority):
        self.idp = idp
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mgl"))
        self.directory.chmod(0o755)
        self.port = free_port()
        for name in ("conf", "sessions/lock", "psessions/lock", "cache", "nginx"):
            (self.directory / name).mkdir(parents=True)
        self.socket = self.directory / "fastcgi.sock"
        storage = {"Directory": f"{self.directory}/sessions", "LockDirectory": f"{self.directory}/sessions/lock"}
        cache = {"namespace": "sessions", "default_expires_in": 600, "directory_umask": "007",
                 "cache_root": f"{self.directory}/cache", "cache_depth": 3}
        (self.directory / "conf/lmConf-1.json").write_text(json.dumps({
            "cfgNum": 1, "cfgAuthor": "bench", "cfgDate": 1, "domain": "localhost", "cookieName": self.cookie,
            "portal": f"https://auth.localhost:{self.port}/", "key": "0123456789abcdef", "securedCookie": 1, "httpOnly": 1, "timeout": 72000,
            "whatToTrace": "_whatToTrace", "globalStorage": "Apache::Session::File", "globalStorageOptions": storage,
            "persistentStorage": "Apache::Session::File",
            "persistentStorageOptions": {"Directory": f"{self.directory}/psessions", "LockDirectory": f"{self.directory}/psessions/lock"},
            "localSessionStorage": "Cache::FileCache", "localSessionStorageOptions": cache,
            "authentication": "OpenIDConnect", "userDB": "Same", "passwordDB": "Null", "registerDB": "Null",
            "macros": {"_whatToTrace": "$_auth eq 'SAML' ? lc($_user.'@'.$_idpConfKey) : $_auth eq 'OpenIDConnect' ? lc($_user.'@'.$_oidc_OP) : lc($_user)"},
            "oidcRPCallbackGetParam": "openidconnectcallback", "oidcRPStateTimeout": 600,
            "oidcOPMetaDataJSON": {"main": json.dumps(idp.document())},
            "oidcOPMetaDataJWKS": {"main": json.dumps({"keys": [key.jwk() for key in idp.keys]})},
            "oidcOPMetaDataOptions": {"main": {
                "oidcOPMetaDataOptionsClientID": idp.client, "oidcOPMetaDataOptionsClientSecret": idp.secret,
                "oidcOPMetaDataOptionsScope": "openid email profile", "oidcOPMetaDataOptionsTokenEndpointAuthMethod": "client_secret_post",
                "oidcOPMetaDataOptionsCheckJWTSignature": 1, "oidcOPMetaDataOptionsUseNonce": 1, "oidcOPMetaDataOptionsIDTokenMaxAge": 300,
                "oidcOPMetaDataOptionsUserAttribute": "sub"}},
            "oidcOPMetaDataExportedVars": {"main": {"uid": "sub", "mail": "email", "cn": "name"}},
            "locationRules": {"auth.localhost": {"default": "accept"}}, "exportedHeaders": {}}))
        (self.directory / "lemonldap-ng.ini").write_text(f"""[all]
logLevel = error
checkTime = 600
[configuration]
type = File
dirName = {self.directory}/conf
localStorage = Cache::FileCache
localStorageOptions = {{ 'namespace' => 'config', 'default_expires_in' => 600, 'directory_umask' => '007', 'cache_root' => '{self.directory}/cache', 'cache_depth' => 3 }}
[portal]
staticPrefix = /static
languages = en
templateDir = /usr/share/lemonldap-ng/portal/templates
portalSkin = bootstrap
""")
        (self.directory / "nginx/nginx.conf").write_text(f"""daemon off; user {_lemonldap.USER}; worker_processes 1; pid {self.directory}/nginx/pid;
error_log {self.directory}/nginx/error.log;
events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {self.directory}/nginx/body; proxy_temp_path {self.directory}/nginx/proxy;
  fastcgi_temp_path {self.directory}/nginx/fastcgi; uwsgi_temp_path {self.directory}/nginx/uwsgi; scgi_temp_path {self.directory}/nginx/scgi;
  server {{ listen 127.0.0.1:{self.port} ssl; server_name auth.localhost; ssl_certificate {authority.certificate}; ssl_certificate_key {authority.key};
    root /usr/share/lemonldap-ng/portal/htdocs/;
    if ($uri !~ ^/((static|javascript|favicon).*|.*\\.psgi)) {{ rewrite ^/(.*)$ /index.psgi/$1 break; }}
    location ~ ^(?<sc>/.*\\.psgi)(?:$|/) {{ include /etc/nginx/fastcgi_params; fastcgi_pass unix:{self.socket}; fastcgi_param HTTP_HOST $http_host;
      fastcgi_param LLTYPE psgi; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; fastcgi_split_path_info ^(.*\\.psgi)(/.*)$;
      fastcgi_param PATH_INFO $fastcgi_path_info; }} }} }}
""")
        subprocess.run(["chown", "-R", _lemonldap.USER, self.directory], check=True)
        environment = dict(os.environ, LLNG_DEFAULTCONFFILE=str(self.directory / "lemonldap-ng.ini"),
                           LLNG_DEFAULTLOGGER="Lemonldap::NG::Common::Logger::Std", PERL_LWP_SSL_CA_FILE=str(authority.path))
        self.log = open(self.directory / "log", "wb")
        self.processes = [
            subprocess.Popen(["perl", str(_lemonldap.SERVER), "--foreground", "-u", _lemonldap.USER, "-n", "2", "-s", str(self.socket),
                              "-p", str(self.directory / "pid")], env=environment, stdout=self.log, stderr=self.log)]
        wait_until(self.ready, 60, 0.2, what="LemonLDAP::NG")
        self.processes.append(subprocess.Popen(["nginx", "-c", str(self.directory / "nginx/nginx.conf")], stdout=self.log, stderr=self.log))
        self.roots = [process.pid for process in self.processes]
        wait_until(self.answers, 20, 0.5, what="LemonLDAP::NG's portal")

    def ready(self):
        assert self.processes[0].poll() is None, (self.directory / "log").read_text()
        if self.socket.exists():
            self.socket.chmod(0o777)
            return True
        return False

    def answers(self):
        try:
            visitor = self.visitor()
            answer = visitor.get("/")
            visitor.close()
        except OSError:
            return False
        self.last = (answer.status, dict(answer.headers), answer.body[:500])
        return answer.status == 302

    def visitor(self):
        return Visitor("auth.localhost", self.port, ssl._create_unverified_context())

    def sign_in(self):
        visitor = self.visitor()
        away = visitor.get("/")
        url = away.headers["Location"]
        # It knows no PKCE (RFC 7636), which the provider demands: it gets a challenge that no verifier answers.
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        code = f"code-{time.monotonic_ns()}"
        self.idp.codes[code] = {**asked, "code_challenge": encode(hashlib.sha256(b"").digest())}
        back = visitor.get(path_of(asked["redirect_uri"] + "&" + urllib.parse.urlencode({"code": code, "state": asked["state"]})))
        assert visitor.cookies.get(self.cookie, "") not in ("", "0"), (back.status, back.body[:600], (self.directory / "log").read_text()[-2000:])
        visitor.close()

    def stop(self):
        for process in reversed(self.processes):
            for pid in tree(process.pid)[::-1]:
                try:
                    os.kill(pid, 15)
                except ProcessLookupError:
                    pass
            process.wait(20)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def block(side, prober):
    """One in which the prober did not look at the deployment, which it does with sign-ins of its own."""
    for _ in range(30):
        before = cpu_ms([prober])
        measured = block_once(side)
        if cpu_ms([prober]) - before < 1:
            return measured
        time.sleep(2)
    sys.exit("the prober does not rest")


def block_once(side):
    before, started = cpu_ms(side.roots), time.monotonic()
    for _ in range(IN_A_BLOCK):
        side.sign_in()
    return (cpu_ms(side.roots) - before) / IN_A_BLOCK, (time.monotonic() - started) * 1000 / IN_A_BLOCK


def main():
    if not _lemonldap.available() or not pathlib.Path("/usr/share/lemonldap-ng/portal").exists():
        sys.exit("LemonLDAP::NG's portal is not here, or this is not root: nothing to compare with")
    authority = Authority()
    theirs = None
    with Deployment({"federation.inside": "localhost", "federation.authorities": str(authority.path)}) as deployment, \
            IdentityProvider(authority) as idp:
        try:
            idp.claims.update(email="aiko@acme.example")
            deployment.tenant_add("acme", upstream="example:notes")
            deployment.masugata("idp", "add", "acme", "main", f"issuer={idp.issuer}", f"client.id={idp.client}",
                                "client.authentication=none", "domains=acme.example", "link_by_email=yes", "create_users=yes")
            deployment.masugata("idp", "enable", "acme", "main")
            ours = Ours(deployment, idp)
            theirs = Theirs(idp, authority)
            for side in (ours, theirs):
                for _ in range(60):  # every process and connection has done it often
                    side.sign_in()
            cpu, clock = {ours: [], theirs: []}, {ours: [], theirs: []}
            for _ in range(BLOCKS):
                for side in (ours, theirs):
                    spent, took = block(side, ours.prober)
                    cpu[side].append(spent)
                    clock[side].append(took)
            print(f"OpenID Connect, {BLOCKS} blocks of {IN_A_BLOCK} sign-ins each, in turns")
            for side in (ours, theirs):
                spent, took = statistics.median(cpu[side]), statistics.median(clock[side])
                print(f"  {side.name:14} {spent:7.2f} ms CPU a sign-in = {1000 / spent:6.1f}/s a core;  {took:7.1f} ms by the clock with provider and visitor")
            ratio = statistics.median(cpu[theirs]) / statistics.median(cpu[ours])
            print(f"  {ratio:.1f} x as many a core (budget {BUDGET} x): {'met' if ratio >= BUDGET else 'NOT MET'}")
            return 0 if ratio >= BUDGET else 1
        finally:
            if theirs is not None:
                theirs.stop()
            authority.drop()


if __name__ == "__main__":
    sys.exit(main())
