using System.Globalization;
using System.Text;

namespace RecBackend.Grains.Storage;

/// <summary>
/// The grain key of an entity's ID. A grain's key becomes part of a blob's name, and so of a URL, where <c>a/../b</c> is <c>b</c>, a final dot is dropped and <c>\</c> is <c>/</c>:
/// every byte that is not a letter, a digit, <c>-</c> or <c>_</c> becomes <c>=XX</c>.
/// </summary>
internal static class EntityKey
{
    public static string Of(string id)
    {
        if (IsPlain(id))
        {
            return id;
        }

        var key = new StringBuilder(id.Length * 2);
        foreach (var one in Encoding.UTF8.GetBytes(id))
        {
            if (IsPlain((char)one))
            {
                key.Append((char)one);
            }
            else
            {
                key.Append('=').Append(one.ToString("X2", CultureInfo.InvariantCulture));
            }
        }

        return key.ToString();
    }

    public static string Id(string key)
    {
        if (IsPlain(key))
        {
            return key;
        }

        var bytes = new List<byte>(key.Length);
        for (var i = 0; i < key.Length; i++)
        {
            if (key[i] == '=')
            {
                bytes.Add(byte.Parse(key.AsSpan(i + 1, 2), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
                i += 2;
            }
            else
            {
                bytes.Add((byte)key[i]);
            }
        }

        return Encoding.UTF8.GetString([.. bytes]);
    }

    private static bool IsPlain(string text)
    {
        foreach (var letter in text)
        {
            if (!IsPlain(letter))
            {
                return false;
            }
        }

        return true;
    }

    private static bool IsPlain(char letter) => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_';
}
