#!/bin/sh
# Usage: certificates.sh DIRECTORY [DAYS]. Certificates of PostgreSQL, Redis and RabbitMQ for compose.yaml, signed by an
# authority of your own, which the first run makes and later runs keep: running it again renews the certificates.
# authority.key signs them and is needed for nothing else: keep it somewhere else.
set -eu
umask 077

directory=${1:?Usage: certificates.sh DIRECTORY [DAYS]}
days=${2:-397}
command -v openssl >/dev/null 2>&1 || { echo "openssl is missing: apt-get install openssl" >&2; exit 1; }
mkdir -p "$directory"
cd "$directory"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

if ! [ -e authority.pem ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out authority.key
    openssl req -x509 -new -sha256 -key authority.key -days 3650 -out authority.pem -subj "/CN=EduRise services" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign"
fi
[ -e authority.key ] || { echo "$directory/authority.key is needed to sign: bring it back for this run" >&2; exit 1; }

for service in postgres redis rabbitmq; do
    cat >"$work/extensions" <<END
subjectAltName=DNS:$service
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
END
    openssl ecparam -name prime256v1 -genkey -noout -out "$work/key"
    openssl req -new -sha256 -key "$work/key" -out "$work/request" -subj "/CN=$service"
    openssl x509 -req -sha256 -in "$work/request" -CA authority.pem -CAkey authority.key -CAcreateserial \
        -CAserial "$work/serial" -days "$days" -extfile "$work/extensions" -out "$work/certificate" 2>"$work/said" ||
        { cat "$work/said" >&2; exit 1; }
    mv "$work/key" "$service.key"
    mv "$work/certificate" "$service.pem"
done
chmod 0644 -- *.pem
echo "$directory: authority.pem, and certificates of postgres, redis and rabbitmq for $days days"
