"""LemonLDAP::NG of Debian, as its documentation sets it up, with configuration and sessions in files: a peer in the tests
(tests/integration/test_lemonldap_peer.py) and what the measurements compare with (tests/bench).

    with Portal(authority, {"authentication": "Demo"}) as portal:
        portal.base       # "https://localhost:PORT", behind an nginx of its own"""

import json
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request

from harness import free_port, wait_until

SERVER = pathlib.Path("/usr/sbin/llng-fastcgi-server")
PAGES = pathlib.Path("/usr/share/lemonldap-ng/portal")
USER = "www-data"


def available(portal=False):
    """It refuses to run as root and is given www-data."""
    return SERVER.exists() and os.geteuid() == 0 and (PAGES.is_dir() or not portal)


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


class Server:
    """Its FastCGI server with Perl processes, below `directory`. A newer `configure` needs a `restart`."""

    def __init__(self, directory, section, processes=4, environment=None, before=()):
        self.directory, self.socket = directory, directory / "fastcgi.sock"
        self.processes, self.before = processes, before
        self.environment = {**os.environ, "LLNG_DEFAULTCONFFILE": str(directory / "lemonldap-ng.ini"),
                            "LLNG_DEFAULTLOGGER": "Lemonldap::NG::Common::Logger::Std", **(environment or {})}
        for name in ("conf", "sessions/lock", "psessions/lock", "cache"):
            (directory / name).mkdir(parents=True)
        (directory / "lemonldap-ng.ini").write_text(f"""[all]
logLevel = {os.environ.get("LLNG_LOG", "error")}
checkTime = 600
[configuration]
type = File
dirName = {directory}/conf
localStorage = Cache::FileCache
localStorageOptions = {{ 'namespace' => 'config', 'default_expires_in' => 600, 'directory_umask' => '007', 'cache_root' => '{directory}/cache', 'cache_depth' => 3 }}
{section}""")
        self.process = self.log = None

    def configure(self, **settings):
        """Everything it is told; where it keeps things is said here."""
        def storage(name):
            return {"Directory": f"{self.directory}/{name}", "LockDirectory": f"{self.directory}/{name}/lock"}
        (self.directory / "conf/lmConf-1.json").write_text(json.dumps({
            "cfgNum": 1, "cfgAuthor": "masugata", "cfgDate": 1, "key": "0123456789abcdef", "cookieName": "lemonldap", "httpOnly": 1,
            "timeout": 72000, "whatToTrace": "_whatToTrace", "globalStorage": "Apache::Session::File",
            "globalStorageOptions": storage("sessions"), "persistentStorage": "Apache::Session::File",
            "persistentStorageOptions": storage("psessions"), "localSessionStorage": "Cache::FileCache",
            "localSessionStorageOptions": {"namespace": "sessions", "default_expires_in": 600, "directory_umask": "007",
                                           "cache_root": f"{self.directory}/cache", "cache_depth": 3}, **settings}))

    def start(self):
        shutil.rmtree(self.directory / "cache")
        (self.directory / "cache").mkdir()
        self.socket.unlink(missing_ok=True)
        subprocess.run(["chown", "-R", USER, self.directory], check=True)
        self.log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(
            [*self.before, "perl", str(SERVER), "--foreground", "-u", USER, "-n", str(self.processes), "-s", str(self.socket),
             "-p", str(self.directory / "pid")], env=self.environment, stdout=self.log, stderr=self.log)

    def ready(self):
        assert self.process.poll() is None, self.logs()
        if self.socket.exists():
            self.socket.chmod(0o777)
            return True
        return False

    def logs(self):
        text = (self.directory / "log").read_text(errors="replace")
        return text if len(text) < 6000 else text[:3000] + "\n…\n" + text[-3000:]

    def cpu_ns(self):
        """Of all its Perl processes."""
        return sum(int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])
                   for pid in tree(self.process.pid) if pid != self.process.pid)

    def stop(self):
        if self.process is None:
            return
        for pid in tree(self.process.pid)[::-1]:
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.log.close()
        self.process = None


class Portal:
    """Its portal over HTTPS: who signs in, and towards whom, `settings` say."""

    def __init__(self, authority, settings, host="localhost", processes=2):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mgl"))
        self.directory.chmod(0o755)
        self.authority, self.settings, self.host, self.port = authority, settings, host, free_port()
        self.base = f"https://{host}:{self.port}"
        self.server = Server(self.directory / "lemonldap", f"""[portal]
staticPrefix = /static
languages = en
templateDir = {PAGES}/templates
portalSkin = bootstrap
""", processes, {"PERL_LWP_SSL_CA_FILE": str(authority.path)})
        self.nginx = self.last = None

    def configure(self, **more):
        self.settings = {**self.settings, **more}
        self.server.configure(**{
            "domain": self.host, "portal": f"{self.base}/", "securedCookie": 1, "passwordDB": "Null", "registerDB": "Null",
            "locationRules": {self.host: {"default": "accept"}}, "exportedHeaders": {},
            "macros": {"_whatToTrace": "$_auth eq 'SAML' ? lc($_user.'@'.$_idpConfKey) : "
                                       "$_auth eq 'OpenIDConnect' ? lc($_user.'@'.$_oidc_OP) : lc($_user)"},
            **self.settings})

    def start(self):
        self.configure()
        self.server.start()
        self.wait()
        return self

    def restart(self, **more):
        """With more settings."""
        self.server.stop()
        self.configure(**more)
        self.server.start()
        self.wait()

    def front(self):
        if self.nginx is not None:
            return
        place = self.directory / "nginx"
        place.mkdir()
        (place / "nginx.conf").write_text(f"""daemon off; user {USER}; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; include /etc/nginx/mime.types;
  fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi; fastcgi_buffers 16 16k; fastcgi_buffer_size 32k;
  server {{ listen 127.0.0.1:{self.port} ssl; server_name {self.host}; root {PAGES}/htdocs/;
    ssl_certificate {self.authority.certificate}; ssl_certificate_key {self.authority.key};
    if ($uri !~ ^/((static|javascript|favicon).*|.*\\.psgi)) {{ rewrite ^/(.*)$ /index.psgi/$1 break; }}
    location /static/ {{ alias {PAGES}/htdocs/static/; }} location /javascript/ {{ alias /usr/share/javascript/; }}
    location ~ ^(?<sc>/.*\\.psgi)(?:$|/) {{ include /etc/nginx/fastcgi_params; fastcgi_pass unix:{self.server.socket};
      fastcgi_param HTTP_HOST $http_host; fastcgi_param LLTYPE psgi; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_split_path_info ^(.*\\.psgi)(/.*)$; fastcgi_param PATH_INFO $fastcgi_path_info; }} }} }}
""")
        subprocess.run(["chown", "-R", USER, place], check=True)
        self.nginx_log = open(self.directory / "nginx.log", "wb")
        self.nginx = subprocess.Popen(["nginx", "-c", str(place / "nginx.conf")], stdout=self.nginx_log, stderr=self.nginx_log)

    def answers(self):
        """Its first page, whatever it is."""
        context = ssl._create_unverified_context()
        try:
            request = urllib.request.Request(f"https://127.0.0.1:{self.port}/", headers={"Host": f"{self.host}:{self.port}"})
            opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), NoRedirect)
            self.last = opener.open(request, timeout=10).status
        except urllib.error.HTTPError as answer:
            self.last = answer.status
        except OSError:
            return False
        assert self.last != 500, "it cannot begin with what it is told"
        return self.last in (200, 302, 303, 401)

    def wait(self):
        try:
            wait_until(self.server.ready, 60, 0.1, what="LemonLDAP::NG")
            self.front()
            wait_until(self.answers, 40, 0.2, what="LemonLDAP::NG's portal")
        except AssertionError as error:
            raise AssertionError(f"{error}, HTTP {self.last}: {self.logs()}") from error

    @property
    def roots(self):
        return [self.server.process.pid, self.nginx.pid]

    def logs(self):
        return self.server.logs() + "".join(path.read_text(errors="replace")[-1000:] for path in
                                            (self.directory / "nginx/error.log", self.directory / "nginx.log") if path.exists())

    def stop(self):
        self.server.stop()
        if self.nginx is not None:
            self.nginx.terminate()
            self.nginx.wait(20)
            self.nginx_log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *unused):
        self.stop()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *unused):
        return None
