using System.Text.Json;
using RecBackend.Core;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Ranking;

/// <summary>
/// Reads the body of <c>POST /v1/rank</c> in one pass, without reflection and without a string for each candidate. Everything that is not expected is refused with its place: a member
/// that is misspelled must not pass as one that is absent.
/// </summary>
internal ref struct RankBodyReader
{
    // A byte of an ID takes six at most in JSON: \u0041.
    private const int MaxEscapedId = EntityId.MaxBytes * 6;

    // Years 0001 to 9999, what a date can be made of.
    private const double MinTimestamp = -62_135_596_800;
    private const double MaxTimestamp = 253_402_300_799;

    private readonly RankExchange _exchange;
    private readonly HttpLimits _limits;
    private Utf8JsonReader _json;

    private RankBodyReader(ReadOnlySpan<byte> body, RankExchange exchange, HttpLimits limits)
    {
        _json = new Utf8JsonReader(body);
        _exchange = exchange;
        _limits = limits;
    }

    [Flags]
    private enum Members
    {
        None = 0,
        User = 1,
        Items = 2,
        Context = 4,
        Limit = 8,
        Model = 16,
        Explain = 32,
        RequestId = 64,
    }

    /// <summary>Fills <paramref name="exchange"/>, which must be clear.</summary>
    /// <exception cref="ProblemException">The body is not a request.</exception>
    public static void Read(ReadOnlySpan<byte> body, RankExchange exchange, HttpLimits limits)
    {
        var reader = new RankBodyReader(body, exchange, limits);
        try
        {
            reader.ReadRequest();
        }
        catch (JsonException e)
        {
            throw new ProblemException(ProblemCode.JsonInvalid, JsonPlace.Words(e), JsonPlace.Of(e));
        }
        catch (InvalidOperationException)
        {
            // What the JSON reader throws, of all things, for an escaped lone surrogate or bytes that are not UTF-8.
            throw reader.Refusal(ProblemCode.JsonInvalid, "A text is not valid Unicode.", "");
        }
    }

    private void ReadRequest()
    {
        _json.Read();
        Expect(JsonTokenType.StartObject, "a request, which is an object", "");
        var seen = Members.None;
        while (_json.Read() && _json.TokenType == JsonTokenType.PropertyName)
        {
            var member = Member();
            if ((seen & member) != Members.None)
            {
                throw Refusal(ProblemCode.MemberDuplicate, "The member is there twice.", Name(member));
            }

            seen |= member;
            _json.Read();
            ReadMember(member);
        }

        // Finds what stands behind the request's closing brace.
        _json.Read();
        if ((seen & Members.User) == Members.None)
        {
            throw Refusal(ProblemCode.MemberMissing, "A request names the user to rank for.", "user");
        }

        if ((seen & Members.Items) == Members.None)
        {
            throw Refusal(ProblemCode.MemberMissing, "A request lists the items to rank.", "items");
        }
    }

    private readonly Members Member() =>
        _json.ValueTextEquals("user"u8) ? Members.User
        : _json.ValueTextEquals("items"u8) ? Members.Items
        : _json.ValueTextEquals("context"u8) ? Members.Context
        : _json.ValueTextEquals("limit"u8) ? Members.Limit
        : _json.ValueTextEquals("model"u8) ? Members.Model
        : _json.ValueTextEquals("explain"u8) ? Members.Explain
        : _json.ValueTextEquals("request_id"u8) ? Members.RequestId
        : throw Refusal(ProblemCode.MemberUnknown, $"Known are user, items, context, limit, model, explain and request_id.", MemberName());

    private static string Name(Members member) => member == Members.RequestId ? "request_id" : member.ToString().ToLowerInvariant();

    private void ReadMember(Members member)
    {
        switch (member)
        {
            case Members.User:
                _exchange.Request.User = ReadIdString("user");
                break;
            case Members.Items:
                ReadItems();
                break;
            case Members.Context:
                ReadContext();
                break;
            case Members.Limit:
                ReadLimit();
                break;
            case Members.Model:
                _exchange.Request.Model = _json.TokenType == JsonTokenType.Null ? null : ReadIdString("model");
                break;
            case Members.Explain:
                _exchange.Explain = ReadExplain();
                break;
            default:
                ReadRequestId();
                break;
        }
    }

    private void ReadItems()
    {
        Expect(JsonTokenType.StartArray, "a list of items", "items");
        var candidates = _exchange.Request.Candidates;
        Span<byte> unescaped = stackalloc byte[MaxEscapedId];
        while (_json.Read() && _json.TokenType != JsonTokenType.EndArray)
        {
            if (candidates.Count == _limits.Candidates)
            {
                throw Refusal(ProblemCode.CandidatesTooMany, $"A ranking has at most {_limits.Candidates} candidates.", "items");
            }

            if (_json.TokenType == JsonTokenType.StartObject)
            {
                ReadItemObject(unescaped);
            }
            else if (_json.TokenType == JsonTokenType.String)
            {
                AddCandidate(unescaped);
            }
            else
            {
                throw Refusal(ProblemCode.TypeInvalid, "An item is an ID or an object with one.", $"items[{candidates.Count}]");
            }
        }
    }

    private void ReadItemObject(scoped Span<byte> unescaped)
    {
        var candidates = _exchange.Request.Candidates;
        var place = candidates.Count;
        while (_json.Read() && _json.TokenType == JsonTokenType.PropertyName)
        {
            if (!_json.ValueTextEquals("id"u8))
            {
                throw Refusal(ProblemCode.MemberUnknown, "An item has an id and nothing else.", $"items[{place}].{MemberName()}");
            }

            if (candidates.Count > place)
            {
                throw Refusal(ProblemCode.MemberDuplicate, "The member is there twice.", $"items[{place}].id");
            }

            _json.Read();
            if (_json.TokenType != JsonTokenType.String)
            {
                throw Refusal(ProblemCode.TypeInvalid, "An ID is a string.", $"items[{place}].id");
            }

            AddCandidate(unescaped);
        }

        if (candidates.Count == place)
        {
            throw Refusal(ProblemCode.MemberMissing, "An item has an id.", $"items[{place}].id");
        }
    }

    /// <summary>Adds the string at the reader as the next candidate.</summary>
    private readonly void AddCandidate(scoped Span<byte> unescaped)
    {
        var candidates = _exchange.Request.Candidates;
        var id = _json.ValueIsEscaped ? Unescape(unescaped) : _json.ValueSpan;
        if (!EntityId.IsValid(id))
        {
            throw Refusal(ProblemCode.IdInvalid, ProblemCode.IdInvalid.Title, $"items[{candidates.Count}]");
        }

        candidates.Add(id);
    }

    /// <summary>The escaped string at the reader in plain UTF-8; empty, and so no ID, if it is too long or no text.</summary>
    private readonly ReadOnlySpan<byte> Unescape(Span<byte> destination)
    {
        if (_json.ValueSpan.Length > destination.Length)
        {
            return default;
        }

        try
        {
            return destination[.._json.CopyString(destination)];
        }
        catch (InvalidOperationException)
        {
            // An escaped lone surrogate.
            return default;
        }
    }

    private readonly string ReadIdString(string place)
    {
        Expect(JsonTokenType.String, "a string", place);
        scoped Span<byte> unescaped = stackalloc byte[MaxEscapedId];
        scoped var id = _json.ValueIsEscaped ? Unescape(unescaped) : _json.ValueSpan;
        return EntityId.IsValid(id)
            ? System.Text.Encoding.UTF8.GetString(id)
            : throw Refusal(ProblemCode.IdInvalid, ProblemCode.IdInvalid.Title, place);
    }

    private void ReadContext()
    {
        Expect(JsonTokenType.StartObject, "an object of numbers", "context");
        var context = _exchange.Request.Context;
        while (_json.Read() && _json.TokenType == JsonTokenType.PropertyName)
        {
            var name = MemberName();
            _json.Read();
            if (_json.TokenType != JsonTokenType.Number || !_json.TryGetDouble(out var value) || !double.IsFinite(value))
            {
                throw Refusal(ProblemCode.TypeInvalid, "A context value is a finite number.", $"context.{name}");
            }

            if (name == "timestamp")
            {
                ReadTimestamp(value);
                continue;
            }

            foreach (var (known, _) in context)
            {
                if (known == name)
                {
                    throw Refusal(ProblemCode.MemberDuplicate, "The member is there twice.", $"context.{name}");
                }
            }

            if (context.Count == _limits.ContextFields)
            {
                throw Refusal(ProblemCode.ValueInvalid, $"A context has at most {_limits.ContextFields} numbers.", "context");
            }

            context.Add(new(name, value));
        }
    }

    private readonly void ReadTimestamp(double seconds)
    {
        if (_exchange.Request.Timestamp is not null)
        {
            throw Refusal(ProblemCode.MemberDuplicate, "The member is there twice.", "context.timestamp");
        }

        if (seconds is < MinTimestamp or > MaxTimestamp)
        {
            throw Refusal(ProblemCode.ValueInvalid, "A timestamp is a number of Unix seconds.", "context.timestamp");
        }

        _exchange.Request.Timestamp = (long)Math.Round(seconds * 1000);
    }

    private readonly void ReadLimit()
    {
        if (_json.TokenType == JsonTokenType.Null)
        {
            return;
        }

        if (_json.TokenType != JsonTokenType.Number)
        {
            throw Refusal(ProblemCode.TypeInvalid, "A limit is a whole number.", "limit");
        }

        _exchange.Request.Limit = _json.TryGetInt32(out var limit) && limit >= 0
            ? limit
            : throw Refusal(ProblemCode.ValueInvalid, "A limit is a whole number, 0 for all.", "limit");
    }

    private readonly bool ReadExplain() => _json.TokenType switch
    {
        JsonTokenType.True => true,
        JsonTokenType.False or JsonTokenType.Null => false,
        _ => throw Refusal(ProblemCode.TypeInvalid, "It is true or false.", "explain"),
    };

    private readonly void ReadRequestId()
    {
        if (_json.TokenType == JsonTokenType.Null)
        {
            return;
        }

        Expect(JsonTokenType.String, "a string", "request_id");
        scoped Span<byte> unescaped = stackalloc byte[MaxEscapedId];
        scoped var id = _json.ValueIsEscaped ? Unescape(unescaped) : _json.ValueSpan;
        if (!EntityId.IsValid(id))
        {
            throw Refusal(ProblemCode.IdInvalid, ProblemCode.IdInvalid.Title, "request_id");
        }

        _exchange.RequestId.Append(id);
    }

    private readonly void Expect(JsonTokenType type, string what, string place)
    {
        if (_json.TokenType != type)
        {
            throw Refusal(ProblemCode.TypeInvalid, $"Here stands {what}.", place);
        }
    }

    /// <summary>The member's name, for a message or a context field.</summary>
    private readonly string MemberName() => _json.GetString()!;

    private readonly ProblemException Refusal(ProblemCode code, string detail, string place) =>
        new(code, $"{detail} (byte {_json.TokenStartIndex})", place.Length == 0 ? null : place);
}
