// Uploads a file by tus: node upload.js ENDPOINT TOKEN FILE CHUNK [STOP_AFTER]. With STOP_AFTER it aborts after so many
// bytes and prints the upload's URL; with RESUME in the environment it goes on at that URL.
const fs = require('fs')
const tus = require('tus-js-client')

const [endpoint, token, file, chunk, stopAfter] = process.argv.slice(2)
const upload = new tus.Upload(fs.createReadStream(file), {
  endpoint,
  uploadUrl: process.env.RESUME || null,
  uploadSize: fs.statSync(file).size,
  chunkSize: Number(chunk),
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: 'knots.txt', category: 'documents', filetype: 'text/plain' },
  retryDelays: [0, 500, 1000],
  onError: (error) => {
    console.error(String(error))
    process.exit(1)
  },
  onProgress: () => {},
  onChunkComplete: (size, accepted) => {
    if (stopAfter && accepted >= Number(stopAfter)) {
      upload.abort().then(() => {
        console.log(upload.url)
        process.exit(0)
      })
    }
  },
  onSuccess: () => {
    console.log(upload.url)
    process.exit(0)
  },
})
upload.start()
