"""Wait until an object is followed: ends with 0 then, and with 1 if that takes too long."""

import sys
import time

from listening import arguments, listen, newest

parser = arguments(__doc__)
which = parser.add_mutually_exclusive_group(required=True)
which.add_argument("--label", help="what it is called")
which.add_argument("--id", type=int, help="or its number")
parser.add_argument("--timeout", type=float, default=10, metavar="S")
args = parser.parse_args()
socket = listen(args)
until_s = time.monotonic() + args.timeout
while (left_s := until_s - time.monotonic()) > 0:
    for header, _ in newest(socket, int(left_s * 1000) + 1):
        for thing in header.get("objects", []):
            if thing["state"] == "TRACKED" and (thing["id"] == args.id or thing["label"] == args.label):
                print(f"{header['stream']} frame {header['frame']}: {thing['id']} {thing['label']} is TRACKED")
                sys.exit(0)
print(f"not TRACKED within {args.timeout:g} s: {args.label if args.id is None else args.id}")
sys.exit(1)
