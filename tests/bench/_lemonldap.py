"""LemonLDAP::NG's handler for nginx (Debian's packages), as its own documentation sets it up, with
sessions in files: the peer that auth_request is mostly used with."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import time

SERVER = pathlib.Path("/usr/sbin/llng-fastcgi-server")
USER = "www-data"


def available():
    return SERVER.exists() and os.geteuid() == 0  # it refuses to run as root and is given www-data


class Handler:
    """The FastCGI server with its Perl processes, below `directory`."""

    def __init__(self, directory, core, sessions=100, processes=4):
        self.directory, self.socket = directory / "lemonldap", directory / "lemonldap" / "fastcgi.sock"
        for name in ("conf", "sessions/lock", "cache"):
            (self.directory / name).mkdir(parents=True)
        self.ids = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(sessions)]
        for number, session in enumerate(self.ids):
            now = int(time.time())
            (self.directory / "sessions" / session).write_text(json.dumps({
                "_session_id": session, "_session_kind": "SSO", "_utime": now, "_lastSeen": now, "uid": f"user{number}",
                "mail": f"user{number}@example.jp", "cn": f"User {number}", "groups": "staff; admin", "_whatToTrace": f"user{number}",
                "ipAddr": "127.0.0.1", "authenticationLevel": 2}))
        cache = {"namespace": "sessions", "default_expires_in": 600, "directory_umask": "007",
                 "cache_root": str(self.directory / "cache"), "cache_depth": 3}
        (self.directory / "conf" / "lmConf-1.json").write_text(json.dumps({
            "cfgNum": 1, "cfgAuthor": "bench", "cfgDate": 1, "domain": "localhost", "cookieName": "lemonldap", "portal": "http://auth.localhost/",
            "key": "0123456789abcdef", "securedCookie": 0, "httpOnly": 1, "timeout": 72000, "timeoutActivity": 0,
            "whatToTrace": "_whatToTrace", "globalStorage": "Apache::Session::File",
            "globalStorageOptions": {"Directory": str(self.directory / "sessions"), "LockDirectory": str(self.directory / "sessions/lock")},
            "localSessionStorage": "Cache::FileCache", "localSessionStorageOptions": cache,
            "locationRules": {"localhost": {"(?#admin)^/area-\\d+/admin": "$groups =~ /\\badmin\\b/", "default": "accept"}},
            "exportedHeaders": {"localhost": {"Auth-User": "$uid", "Auth-Mail": "$mail", "Auth-Name": "$cn", "Auth-Groups": "$groups"}},
            "vhostOptions": {"localhost": {"vhostHttps": -1, "vhostPort": -1}}}))
        (self.directory / "lemonldap-ng.ini").write_text(f"""[all]
logLevel = error
checkTime = 600
[configuration]
type = File
dirName = {self.directory}/conf
localStorage = Cache::FileCache
localStorageOptions = {{ 'namespace' => 'config', 'default_expires_in' => 600, 'directory_umask' => '007', 'cache_root' => '{self.directory}/cache', 'cache_depth' => 3 }}
[handler]
status = 0
useRedirectOnError = 1
""")
        subprocess.run(["chown", "-R", USER, self.directory], check=True)
        environment = dict(os.environ, LLNG_DEFAULTCONFFILE=str(self.directory / "lemonldap-ng.ini"),
                           LLNG_DEFAULTLOGGER="Lemonldap::NG::Common::Logger::Std")
        self.log = open(self.directory / "log", "wb")
        self.process = subprocess.Popen(["taskset", "-c", str(core), "perl", str(SERVER), "--foreground", "-u", USER, "-n", str(processes), "-s",
                                         str(self.socket), "-p", str(self.directory / "pid")], env=environment, stdout=self.log, stderr=self.log)

    def ready(self):
        assert self.process.poll() is None, (self.directory / "log").read_text()
        if self.socket.exists():
            self.socket.chmod(0o777)
            return True
        return False

    def cpu_ns(self):
        """Of all its Perl processes."""
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        return sum(int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in children)

    def locations(self):
        """For a server block: their documentation's, with the upstream given by the caller's location."""
        return f"""
            location = /lmauth {{
                internal;
                include /etc/nginx/fastcgi_params;
                fastcgi_pass unix:{self.socket};
                fastcgi_pass_request_body off;
                fastcgi_param CONTENT_LENGTH "";
                fastcgi_param HOST $http_host;
                fastcgi_param X_ORIGINAL_URI $original_uri;
            }}"""

    IN_LOCATION = """
                auth_request /lmauth;
                set $original_uri $uri$is_args$args;
                auth_request_set $lmlocation $upstream_http_location;
                error_page 401 $lmlocation;
                auth_request_set $authuser $upstream_http_auth_user;
                auth_request_set $authmail $upstream_http_auth_mail;
                auth_request_set $authname $upstream_http_auth_name;
                auth_request_set $authgroups $upstream_http_auth_groups;"""
    FORWARD = """
                proxy_set_header Auth-User $authuser; proxy_set_header Auth-Mail $authmail;
                proxy_set_header Auth-Name $authname; proxy_set_header Auth-Groups $authgroups;"""

    def stop(self):
        for pid in subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split():
            os.kill(int(pid), 15)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)
