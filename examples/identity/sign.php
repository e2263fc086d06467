<?php
// Says who is in front of the page, with what PHP brings:
//   IDENTITY_SECRET=mc_identity_… php sign.php merchant-7
function identity(string $secret, string $user, int $seconds = 300): string
{
    $base64 = fn(string $bytes): string => rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    $text = $base64(json_encode(['alg' => 'HS256', 'typ' => 'JWT'])) . '.' . $base64(json_encode(['sub' => $user, 'exp' => time() + $seconds]));
    return $text . '.' . $base64(hash_hmac('sha256', $text, $secret, true));
}

if (realpath($_SERVER['SCRIPT_FILENAME'] ?? '') === __FILE__) {
    $secret = getenv('IDENTITY_SECRET');
    // An empty secret would sign as well, and anybody could do the same.
    if ($secret === false || $secret === '') {
        fwrite(STDERR, "IDENTITY_SECRET is not set: give it the secret of `merchant-copilot key issue --role identity`.\n");
        exit(1);
    }
    echo identity($secret, $argv[1]), "\n";
}
