#!/bin/sh
# Names every image of docker-compose.yml and Dockerfile by its digest beside its tag, so that what was tried is what
# runs. Needs docker and the registry; running it again brings the digests up to the tags as they are then. Look at the
# change, try it, and keep it in your own repository.
#
#   sh deploy/pin-images.sh [FOLDER]     by default the folder above this one
set -eu
folder=${1:-$(dirname "$0")/..}
for file in docker-compose.yml Dockerfile; do
    # `image: name:tag` and `FROM name:tag`, with or without a digest; our own image is built here.
    sed -n -E 's/^ *(image:|FROM) +([a-z0-9./-]+:[A-Za-z0-9._-]+)(@sha256:[0-9a-f]{64})?( .*)?$/\2/p' "$folder/$file" |
        grep -v '^anamnesis:' | sort -u |
        while read -r image; do
            digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image")
            case $digest in
                sha256:????????????????????????????????????????????????????????????????) ;;
                *) echo "no digest of $image: $digest" >&2; exit 1 ;;
            esac
            sed -i -E "s#((image:|FROM) +$image)(@sha256:[0-9a-f]{64})?#\1@$digest#" "$folder/$file"
            echo "$file: $image@$digest"
        done
done
