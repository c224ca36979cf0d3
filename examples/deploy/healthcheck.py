"""The health check of the image: ends with 0 where `/healthz` of the daemon in this container says 200.

Over https as well as http: whom it asks is this machine, so the name in a certificate is not looked at.
"""

import http.client
import os
import ssl
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4.0


def fault(port: int) -> str:
    """What is wrong, in a line; "" where all is well."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    said = ""
    for scheme in ("http", "https"):
        try:
            with opener.open(f"{scheme}://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S):
                return ""
        except urllib.error.HTTPError as answer:
            return answer.read(2000).decode(errors="replace").strip() or str(answer)
        except (OSError, ValueError, http.client.HTTPException) as error:
            said = said or str(error)
    return said


if __name__ == "__main__":
    sys.exit(fault(int(os.environ.get("STREAMCLF_SERVER_PORT", "8765"))) or 0)
